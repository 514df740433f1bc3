//! Events of a stream folded into the answer that the unary call would have given.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use prost::Message;
use serde_json::value::RawValue;

use crate::messages::sealed::Answer;
use crate::v1::{self, chat_with_context_response::Event, part::Data};

/// Takes a stream's events in order and gives the answer.
pub trait Fold: Default {
    type Event;
    type Answer;

    /// What a whole stream ends with, for people.
    const LAST_EVENT: &'static str;

    /// Takes the next event.
    fn add(&mut self, event: &Self::Event);

    /// The place of the newest event in its generation, from 1. 0 before the first.
    fn sequence(&self) -> i32;

    /// Whether the last event was seen.
    fn complete(&self) -> bool;

    /// Whether the server can give the rest again, as far as it has said.
    fn resumable(&self) -> bool;

    /// The text that an event brings to one choice; empty for none.
    fn text(event: Self::Event, index: i32) -> String;

    /// The answer so far.
    fn answer(&self) -> Self::Answer;
}

/// Folds the events of `ChatWithContext`.
#[derive(Default)]
pub struct ChatFold {
    sequence: i32,
    started: Option<v1::ChatStarted>,
    choices: BTreeMap<i32, Choice>,
    completed: Option<v1::ChatCompleted>,
}

/// One choice of a chat, while it grows.
#[derive(Default)]
struct Choice {
    content: String,
    reasoning: String,
    refusal: String,
    logprobs: Vec<v1::TokenLogprob>,
    refusal_logprobs: Vec<v1::TokenLogprob>,
    calls: BTreeMap<i32, v1::ChatToolCall>,
    finished: v1::ChoiceFinished,
    extras: Vec<String>,
}

impl ChatFold {
    fn choice(&mut self, index: i32) -> &mut Choice {
        self.choices.entry(index).or_default()
    }
}

impl Fold for ChatFold {
    type Event = v1::ChatWithContextResponse;
    type Answer = v1::CompleteChatWithContextResponse;

    const LAST_EVENT: &'static str = "`completed`";

    fn add(&mut self, event: &Self::Event) {
        self.sequence = event.sequence;
        // A kind that this version does not know changes nothing.
        match &event.event {
            None => {}
            Some(Event::Started(started)) => self.started = Some(started.clone()),
            Some(Event::Content(delta)) => {
                let choice = self.choice(delta.index);
                choice.content.push_str(&delta.text);
                choice.logprobs.extend_from_slice(&delta.logprobs);
            }
            Some(Event::Reasoning(delta)) => {
                self.choice(delta.index).reasoning.push_str(&delta.text);
            }
            Some(Event::Refusal(delta)) => {
                let choice = self.choice(delta.index);
                choice.refusal.push_str(&delta.text);
                choice.refusal_logprobs.extend_from_slice(&delta.logprobs);
            }
            Some(Event::ToolCall(delta)) => self.choice(delta.index).add_call(delta),
            Some(Event::ChoiceFinished(finished)) => {
                self.choice(finished.index).finished = finished.clone();
            }
            Some(Event::Extra(extra)) => {
                let choice = self.choice(extra.index);
                choice.extras.push(extra.extra_json.clone());
            }
            Some(Event::Completed(completed)) => self.completed = Some(completed.clone()),
        }
    }

    fn sequence(&self) -> i32 {
        self.sequence
    }

    fn complete(&self) -> bool {
        self.completed.is_some()
    }

    fn resumable(&self) -> bool {
        self.started.as_ref().is_none_or(|s| s.resumable)
    }

    fn text(event: Self::Event, index: i32) -> String {
        match event.event {
            Some(Event::Content(delta)) if delta.index == index => delta.text,
            _ => String::new(),
        }
    }

    fn answer(&self) -> Self::Answer {
        let started = self.started.clone().unwrap_or_default();
        let completed = self.completed.clone().unwrap_or_default();
        Self::Answer {
            id: started.id,
            model: started.model,
            create_time: started.create_time,
            choices: self
                .choices
                .iter()
                .map(|(&index, choice)| choice.build(index, &started.role))
                .collect(),
            usage: completed.usage,
            response_cache: completed.response_cache,
            billed_usage: completed.billed_usage,
            context: completed.context,
            service_tier: completed.service_tier,
            system_fingerprint: started.system_fingerprint,
            extra_json: completed.extra_json,
        }
    }
}

impl Choice {
    fn add_call(&mut self, delta: &v1::ToolCallDelta) {
        let call = self.calls.entry(delta.call_index).or_default();
        if call.id.is_empty() {
            call.id.clone_from(&delta.id);
        }
        if call.name.is_empty() {
            call.name.clone_from(&delta.name);
        }
        call.arguments_json.push_str(&delta.arguments_json);
        if !delta.extra_json.is_empty() {
            let mut extras = Vec::new();
            push(&mut extras, &call.extra_json);
            push(&mut extras, &delta.extra_json);
            call.extra_json = merge_json(&extras);
        }
    }

    fn build(&self, index: i32, role: &str) -> v1::ChatChoice {
        let (of_choice, mut of_message) = split_extras(&self.extras);
        // A whole message has a field for the speaker's name, and no event has.
        let name = of_message
            .get("name")
            .and_then(|name| serde_json::from_str(name.get()).ok());
        if name.is_some() {
            of_message.shift_remove("name");
        }
        let message = v1::ChatMessage {
            role: if role.is_empty() { "assistant" } else { role }.to_owned(),
            content: self.content.clone(),
            name: name.unwrap_or_default(),
            tool_calls: self.calls.values().cloned().collect(),
            reasoning: self.reasoning.clone(),
            refusal: self.refusal.clone(),
            extra_json: json_text(&of_message),
            ..v1::ChatMessage::default()
        };
        v1::ChatChoice {
            index,
            message: Some(message),
            finish_reason: self.finished.finish_reason,
            finish_reason_raw: self.finished.finish_reason_raw.clone(),
            logprobs: self.logprobs.clone(),
            refusal_logprobs: self.refusal_logprobs.clone(),
            moderation_hit_type: self.finished.moderation_hit_type.clone(),
            extra_json: json_text(&of_choice),
        }
    }
}

/// Folds the messages of `StreamGenerateContent`.
#[derive(Default)]
pub struct ContentFold {
    sequence: i32,
    candidates: BTreeMap<i32, Candidate>,
    latest: v1::GenerateContentResponse,
    extras: Vec<String>,
}

/// One candidate of a Gemini answer, while it grows.
#[derive(Default)]
struct Candidate {
    grown: v1::Candidate,
    extras: Vec<String>,
}

// Both destructure what they take, so that a field that is added to it cannot be forgotten here.
impl Fold for ContentFold {
    type Event = v1::GenerateContentResponse;
    type Answer = v1::GenerateContentResponse;

    const LAST_EVENT: &'static str = "`billed_usage`";

    fn add(&mut self, event: &Self::Event) {
        let v1::GenerateContentResponse {
            candidates,
            prompt_feedback,
            usage_metadata,
            model_version,
            response_id,
            create_time,
            sequence,
            response_cache,
            billed_usage,
            context,
            model_status,
            extra_json,
        } = event;
        self.sequence = *sequence;
        for piece in candidates {
            self.candidates.entry(piece.index).or_default().add(piece);
        }
        replace(&mut self.latest.prompt_feedback, prompt_feedback);
        replace(&mut self.latest.usage_metadata, usage_metadata);
        replace(&mut self.latest.model_version, model_version);
        replace(&mut self.latest.response_id, response_id);
        replace(&mut self.latest.create_time, create_time);
        replace(&mut self.latest.response_cache, response_cache);
        replace(&mut self.latest.billed_usage, billed_usage);
        replace(&mut self.latest.context, context);
        replace(&mut self.latest.model_status, model_status);
        push(&mut self.extras, extra_json);
    }

    fn sequence(&self) -> i32 {
        self.sequence
    }

    fn complete(&self) -> bool {
        self.latest.billed_usage.is_some()
    }

    fn resumable(&self) -> bool {
        true
    }

    fn text(event: Self::Event, index: i32) -> String {
        event.text(index)
    }

    fn answer(&self) -> Self::Answer {
        let candidates = self.candidates.values().map(Candidate::build).collect();
        v1::GenerateContentResponse {
            candidates,
            extra_json: merge_json(&self.extras),
            ..self.latest.clone()
        }
    }
}

impl Candidate {
    // Lists of what each piece adds grow; whatever describes the whole so far is replaced. The
    // indices in grounding metadata point into its own lists, so it stays as one piece gave it.
    fn add(&mut self, piece: &v1::Candidate) {
        let v1::Candidate {
            content,
            finish_reason,
            finish_reason_raw,
            finish_message,
            index,
            safety_ratings,
            citation_metadata,
            token_count,
            grounding_attributions_json,
            grounding_metadata,
            avg_logprobs,
            logprobs_result,
            url_context_metadata,
            continuation_token,
            extra_json,
        } = piece;
        let grown = &mut self.grown;
        if let Some(content) = content {
            let whole = grown.content.get_or_insert_default();
            replace(&mut whole.role, &content.role);
            content
                .parts
                .iter()
                .for_each(|part| add_part(&mut whole.parts, part));
        }
        append(&mut grown.citation_metadata, citation_metadata.as_ref());
        append(&mut grown.logprobs_result, logprobs_result.as_ref());
        replace(&mut grown.finish_reason, finish_reason);
        replace(&mut grown.finish_reason_raw, finish_reason_raw);
        replace(&mut grown.finish_message, finish_message);
        replace(&mut grown.index, index);
        replace(&mut grown.safety_ratings, safety_ratings);
        replace(&mut grown.token_count, token_count);
        replace(
            &mut grown.grounding_attributions_json,
            grounding_attributions_json,
        );
        replace(&mut grown.grounding_metadata, grounding_metadata);
        replace(&mut grown.avg_logprobs, avg_logprobs);
        replace(&mut grown.url_context_metadata, url_context_metadata);
        replace(&mut grown.continuation_token, continuation_token);
        push(&mut self.extras, extra_json);
    }

    fn build(&self) -> v1::Candidate {
        v1::Candidate {
            extra_json: merge_json(&self.extras),
            ..self.grown.clone()
        }
    }
}

/// Adds a part, or its text to the part before where both are plain text of the same `thought`. A
/// signature belongs to the part that it came with.
fn add_part(parts: &mut Vec<v1::Part>, part: &v1::Part) {
    if let Some(before) = parts.last_mut()
        && before.thought == part.thought
        && is_plain(before)
        && is_plain(part)
        && let (Some(Data::Text(grown)), Some(Data::Text(text))) = (&mut before.data, &part.data)
    {
        grown.push_str(text);
    } else {
        parts.push(part.clone());
    }
}

/// Whether a part has nothing but text, and that it is a thought.
fn is_plain(part: &v1::Part) -> bool {
    let v1::Part {
        thought: _,
        thought_signature,
        video_metadata,
        part_metadata_json,
        media_resolution,
        media_processing_json,
        speech_metadata_json,
        document_metadata_json,
        spreadsheet_metadata_json,
        audio_metadata_json,
        extra_json,
        data,
    } = part;
    let texts = [
        part_metadata_json,
        media_processing_json,
        speech_metadata_json,
        document_metadata_json,
        spreadsheet_metadata_json,
        audio_metadata_json,
        extra_json,
    ];
    matches!(data, Some(Data::Text(_)))
        && thought_signature.is_empty()
        && video_metadata.is_none()
        && media_resolution.is_none()
        && texts.into_iter().all(String::is_empty)
}

/// Replaces a field by a newer one, where that is set.
fn replace<T: Clone + Default + PartialEq>(field: &mut T, newer: &T) {
    if *newer != T::default() {
        field.clone_from(newer);
    }
}

/// Merges a message as protobuf does: its lists grow.
fn append<M: Message + Default>(field: &mut Option<M>, more: Option<&M>) {
    if let Some(more) = more {
        field
            .get_or_insert_default()
            .merge(more.encode_to_vec().as_slice())
            .expect("what was encoded is decoded");
    }
}

fn push(texts: &mut Vec<String>, text: &str) {
    if !text.is_empty() {
        texts.push(text.to_owned());
    }
}

/// The members of a JSON object in their order, each value as it was written.
type Members = IndexMap<String, Box<RawValue>>;

/// What upstream said besides of a choice and, under `delta`, of its message.
fn split_extras(texts: &[String]) -> (Members, Members) {
    let (mut of_choice, mut of_message) = (Members::new(), Members::new());
    for text in texts {
        let mut members = parse(text);
        let delta = members
            .get("delta")
            .and_then(|delta| serde_json::from_str::<Members>(delta.get()).ok());
        if let Some(delta) = delta {
            members.shift_remove("delta");
            of_message.extend(delta);
        }
        of_choice.extend(members);
    }
    (of_choice, of_message)
}

/// The texts of JSON objects as one; of a member in several the later counts.
///
/// A lone text stays as it is, letter by letter.
fn merge_json(texts: &[String]) -> String {
    match texts {
        [] => String::new(),
        [text] => text.clone(),
        texts => json_text(&texts.iter().flat_map(|text| parse(text)).collect()),
    }
}

/// The members of what the server promises to be the text of a JSON object.
fn parse(text: &str) -> Members {
    serde_json::from_str(text).unwrap_or_default()
}

fn json_text(members: &Members) -> String {
    if members.is_empty() {
        return String::new();
    }
    serde_json::to_string(members).expect("texts of JSON make a text of JSON")
}

#[cfg(test)]
mod tests;
