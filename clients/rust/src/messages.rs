//! Small constructors of what requests are made of, and the text of what came.

use std::time::Duration;

use crate::v1;

impl v1::ChatMessage {
    /// What the model is told about its task.
    pub fn system(text: impl Into<String>) -> Self {
        Self::of("system", text)
    }

    /// What the user says.
    pub fn user(text: impl Into<String>) -> Self {
        Self::of("user", text)
    }

    /// What the model said.
    pub fn assistant(text: impl Into<String>) -> Self {
        Self::of("assistant", text)
    }

    /// What a tool returned to the call with this id.
    pub fn tool(call_id: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            tool_call_id: call_id.into(),
            ..Self::of("tool", text)
        }
    }

    fn of(role: &str, text: impl Into<String>) -> Self {
        Self {
            role: role.into(),
            content: text.into(),
            ..Self::default()
        }
    }
}

impl v1::Content {
    /// What the model is told about its task: text without a role.
    pub fn system(text: impl Into<String>) -> Self {
        Self::of("", text)
    }

    /// What the user says.
    pub fn user(text: impl Into<String>) -> Self {
        Self::of("user", text)
    }

    /// What the model said.
    pub fn model(text: impl Into<String>) -> Self {
        Self::of("model", text)
    }

    fn of(role: &str, text: impl Into<String>) -> Self {
        Self {
            role: role.into(),
            parts: vec![v1::Part::text(text)],
        }
    }
}

impl v1::Part {
    /// A piece of text.
    pub fn text(text: impl Into<String>) -> Self {
        v1::part::Data::Text(text.into()).into()
    }
}

impl From<v1::part::Data> for v1::Part {
    fn from(data: v1::part::Data) -> Self {
        Self {
            data: Some(data),
            ..Self::default()
        }
    }
}

/// A length of time, as requests have it. What is longer than 10,000 years is cut to that.
#[must_use]
pub fn duration(length: Duration) -> prost_types::Duration {
    const LONGEST_SECONDS: u64 = 315_576_000_000;
    prost_types::Duration {
        seconds: length.as_secs().min(LONGEST_SECONDS).cast_signed(),
        nanos: length.subsec_nanos().cast_signed(),
    }
}

/// A whole answer, of a chat or of Gemini. [`text_of`] reads it.
pub trait Answer: sealed::Answer {}

impl Answer for v1::CompleteChatWithContextResponse {}
impl Answer for v1::GenerateContentResponse {}

/// The text of one choice or candidate of a whole answer, thoughts left out. Empty where there is
/// none. `index` counts from 0.
#[must_use]
pub fn text_of(answer: &impl Answer, index: i32) -> String {
    answer.text(index)
}

pub(crate) mod sealed {
    use crate::v1;

    pub trait Answer {
        fn text(&self, index: i32) -> String;
    }

    impl Answer for v1::CompleteChatWithContextResponse {
        fn text(&self, index: i32) -> String {
            self.choices
                .iter()
                .filter(|choice| choice.index == index)
                .filter_map(|choice| choice.message.as_ref())
                .map(|message| message.content.as_str())
                .collect()
        }
    }

    impl Answer for v1::GenerateContentResponse {
        fn text(&self, index: i32) -> String {
            self.candidates
                .iter()
                .filter(|candidate| candidate.index == index)
                .filter_map(|candidate| candidate.content.as_ref())
                .flat_map(|content| &content.parts)
                .filter(|part| !part.thought)
                .filter_map(|part| match &part.data {
                    Some(v1::part::Data::Text(text)) => Some(text.as_str()),
                    _ => None,
                })
                .collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constructors_say_who_speaks() {
        let message = v1::ChatMessage::tool("call-1", "12 °C");
        assert_eq!(message.role, "tool");
        assert_eq!(message.tool_call_id, "call-1");
        assert_eq!(message.content, "12 °C");
        assert_eq!(v1::ChatMessage::assistant("Hi").role, "assistant");
        assert_eq!(v1::Content::model("Hi").role, "model");
        assert_eq!(v1::Content::system("Be brief.").role, "");
        assert_eq!(v1::Content::user("Hi").parts, [v1::Part::text("Hi")]);
    }

    #[test]
    fn durations_are_cut_to_what_protobuf_holds() {
        assert_eq!(duration(Duration::from_millis(1500)).to_string(), "1.500s");
        let longest = prost_types::Duration {
            seconds: 315_576_000_000,
            nanos: 999_999_999,
        };
        assert_eq!(duration(Duration::MAX), longest);
    }

    #[test]
    fn the_text_of_an_answer_is_one_choices() {
        let choice = |index, text| v1::ChatChoice {
            index,
            message: Some(v1::ChatMessage::assistant(text)),
            ..v1::ChatChoice::default()
        };
        let answer = v1::CompleteChatWithContextResponse {
            choices: vec![choice(0, "Oban"), choice(1, "Kerrera")],
            ..v1::CompleteChatWithContextResponse::default()
        };
        assert_eq!(text_of(&answer, 1), "Kerrera");
        assert_eq!(text_of(&answer, 2), "");
    }

    #[test]
    fn the_text_of_a_candidate_leaves_thoughts_out() {
        let thought = v1::Part {
            thought: true,
            ..v1::Part::text("Hm. ")
        };
        let answer = v1::GenerateContentResponse {
            candidates: vec![v1::Candidate {
                content: Some(v1::Content {
                    parts: vec![thought, v1::Part::text("A "), v1::Part::text("gannet.")],
                    role: "model".into(),
                }),
                ..v1::Candidate::default()
            }],
            ..v1::GenerateContentResponse::default()
        };
        assert_eq!(text_of(&answer, 0), "A gannet.");
    }
}
