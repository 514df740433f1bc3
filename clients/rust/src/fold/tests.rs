use super::*;

fn chat(events: impl IntoIterator<Item = Event>) -> v1::CompleteChatWithContextResponse {
    let mut fold = ChatFold::default();
    for (sequence, event) in (1..).zip(events) {
        let event = Some(event);
        fold.add(&v1::ChatWithContextResponse { sequence, event });
    }
    fold.answer()
}

fn content(index: i32, text: &str) -> Event {
    Event::Content(delta(index, text))
}

fn delta(index: i32, text: &str) -> v1::TextDelta {
    v1::TextDelta {
        index,
        text: text.into(),
        logprobs: vec![logprob(text)],
    }
}

fn logprob(token: &str) -> v1::TokenLogprob {
    v1::TokenLogprob {
        token: token.into(),
        ..v1::TokenLogprob::default()
    }
}

fn extra(index: i32, json: &str) -> Event {
    Event::Extra(v1::ExtraDelta {
        index,
        extra_json: json.into(),
    })
}

fn message(choice: &v1::ChatChoice) -> &v1::ChatMessage {
    choice.message.as_ref().unwrap()
}

#[test]
fn a_chat_is_what_its_unary_twin_would_have_given() {
    let usage = Some(v1::Usage {
        total_tokens: 5,
        ..v1::Usage::default()
    });
    let create_time = Some(prost_types::Timestamp {
        seconds: 7,
        nanos: 0,
    });
    let answer = chat([
        Event::Started(v1::ChatStarted {
            id: "a-1".into(),
            model: "m-2026".into(),
            create_time,
            role: "assistant".into(),
            system_fingerprint: "fp".into(),
            resumable: true,
        }),
        Event::Reasoning(delta(0, "Hm")),
        Event::Reasoning(delta(0, ".")),
        content(0, "One"),
        content(0, " two"),
        Event::Refusal(delta(0, "No.")),
        Event::ChoiceFinished(v1::ChoiceFinished {
            index: 0,
            finish_reason: v1::FinishReason::Stop.into(),
            finish_reason_raw: "stop".into(),
            moderation_hit_type: "violence".into(),
        }),
        Event::Completed(v1::ChatCompleted {
            usage: usage.clone(),
            billed_usage: usage.clone(),
            service_tier: "default".into(),
            extra_json: r#"{"a":1}"#.into(),
            ..v1::ChatCompleted::default()
        }),
    ]);
    let expected = v1::CompleteChatWithContextResponse {
        id: "a-1".into(),
        model: "m-2026".into(),
        create_time,
        choices: vec![v1::ChatChoice {
            message: Some(v1::ChatMessage {
                content: "One two".into(),
                reasoning: "Hm.".into(),
                refusal: "No.".into(),
                ..v1::ChatMessage::assistant("")
            }),
            finish_reason: v1::FinishReason::Stop.into(),
            finish_reason_raw: "stop".into(),
            logprobs: vec![logprob("One"), logprob(" two")],
            refusal_logprobs: vec![logprob("No.")],
            moderation_hit_type: "violence".into(),
            ..v1::ChatChoice::default()
        }],
        usage: usage.clone(),
        billed_usage: usage,
        service_tier: "default".into(),
        system_fingerprint: "fp".into(),
        extra_json: r#"{"a":1}"#.into(),
        ..v1::CompleteChatWithContextResponse::default()
    };
    assert_eq!(answer, expected);
}

#[test]
fn choices_are_kept_apart_and_come_by_index() {
    let answer = chat([
        content(1, "b"),
        content(0, "a"),
        content(1, "B"),
        content(0, "A"),
    ]);
    let texts: Vec<_> = answer
        .choices
        .iter()
        .map(|choice| (choice.index, message(choice).content.as_str()))
        .collect();
    assert_eq!(texts, [(0, "aA"), (1, "bB")]);
}

#[test]
fn tool_calls_are_put_together_from_their_pieces() {
    let piece = |call_index, id: &str, name: &str, arguments: &str| {
        Event::ToolCall(v1::ToolCallDelta {
            index: 0,
            call_index,
            id: id.into(),
            name: name.into(),
            arguments_json: arguments.into(),
            ..v1::ToolCallDelta::default()
        })
    };
    let answer = chat([
        piece(1, "c-2", "tide", "{\"at\":"),
        piece(0, "c-1", "wind", "{"),
        piece(1, "", "", "\"Oban\"}"),
        piece(0, "", "", "}"),
    ]);
    let call = |id: &str, name: &str, arguments: &str| v1::ChatToolCall {
        id: id.into(),
        name: name.into(),
        arguments_json: arguments.into(),
        ..v1::ChatToolCall::default()
    };
    let expected = [
        call("c-1", "wind", "{}"),
        call("c-2", "tide", "{\"at\":\"Oban\"}"),
    ];
    assert_eq!(message(&answer.choices[0]).tool_calls, expected);
}

#[test]
fn extras_of_a_tool_call_are_merged() {
    let piece = |call_index, extra: &str| {
        Event::ToolCall(v1::ToolCallDelta {
            call_index,
            extra_json: extra.into(),
            ..v1::ToolCallDelta::default()
        })
    };
    let answer = chat([
        piece(0, r#"{"a": 1, "b": 2}"#),
        piece(0, ""),
        piece(0, r#"{"b": 3}"#),
        piece(1, r#"{ "sign": "c2ln" }"#),
    ]);
    let extras: Vec<_> = message(&answer.choices[0])
        .tool_calls
        .iter()
        .map(|call| call.extra_json.as_str())
        .collect();
    assert_eq!(extras, [r#"{"a":1,"b":3}"#, r#"{ "sign": "c2ln" }"#]);
}

#[test]
fn extras_are_of_the_choice_or_of_its_message() {
    let answer = chat([
        extra(0, r#"{"z":1, "delta": {"name":"Ann","mood":{"b":1e-7}}}"#),
        extra(
            0,
            r#"{"y":"é","z":12345678901234567890123,"delta":{"mood":2}}"#,
        ),
        extra(1, r#"{"delta":null}"#),
    ]);
    let [first, second] = &answer.choices[..] else {
        panic!("there are two choices");
    };
    assert_eq!(first.extra_json, r#"{"z":12345678901234567890123,"y":"é"}"#);
    assert_eq!(message(first).extra_json, r#"{"mood":2}"#);
    assert_eq!(message(first).name, "Ann");
    assert_eq!(second.extra_json, r#"{"delta":null}"#);
    assert_eq!(message(second).extra_json, "");
}

#[test]
fn a_kind_of_event_that_is_not_known_changes_nothing_but_the_place() {
    let mut fold = ChatFold::default();
    fold.add(&v1::ChatWithContextResponse {
        sequence: 3,
        event: None,
    });
    assert_eq!(fold.sequence(), 3);
    assert!(!fold.complete());
    assert_eq!(
        fold.answer(),
        v1::CompleteChatWithContextResponse::default()
    );
}

#[test]
fn a_chat_is_resumable_until_the_server_says_no() {
    let mut fold = ChatFold::default();
    assert!(fold.resumable());
    let event = Some(Event::Started(v1::ChatStarted::default()));
    fold.add(&v1::ChatWithContextResponse { sequence: 1, event });
    assert!(!fold.resumable());
}

#[test]
fn the_text_of_an_event_is_one_choices() {
    let event = |event| v1::ChatWithContextResponse {
        sequence: 1,
        event: Some(event),
    };
    assert_eq!(ChatFold::text(event(content(1, "b")), 1), "b");
    assert_eq!(ChatFold::text(event(content(1, "b")), 0), "");
    let thought = Event::Reasoning(delta(0, "Hm"));
    assert_eq!(ChatFold::text(event(thought), 0), "");
}

fn generated(
    pieces: impl IntoIterator<Item = v1::GenerateContentResponse>,
) -> v1::GenerateContentResponse {
    let mut fold = ContentFold::default();
    pieces.into_iter().for_each(|piece| fold.add(&piece));
    fold.answer()
}

fn of_candidate(candidate: v1::Candidate) -> v1::GenerateContentResponse {
    v1::GenerateContentResponse {
        candidates: vec![candidate],
        ..v1::GenerateContentResponse::default()
    }
}

fn of_parts(index: i32, parts: impl Into<Vec<v1::Part>>) -> v1::GenerateContentResponse {
    of_candidate(v1::Candidate {
        index,
        content: Some(v1::Content {
            parts: parts.into(),
            role: "model".into(),
        }),
        ..v1::Candidate::default()
    })
}

fn parts(candidate: &v1::Candidate) -> &[v1::Part] {
    &candidate.content.as_ref().unwrap().parts
}

#[test]
fn plain_texts_join_and_other_parts_stand_alone() {
    let thought = |text: &str| v1::Part {
        thought: true,
        ..v1::Part::text(text)
    };
    let signed = v1::Part {
        thought_signature: b"s".to_vec(),
        ..v1::Part::text("c")
    };
    let call = v1::Part::from(Data::FunctionCall(v1::FunctionCall::default()));
    let answer = generated([
        of_parts(0, [thought("H")]),
        of_parts(0, [thought("m"), v1::Part::text("a")]),
        of_parts(0, [v1::Part::text("b"), v1::Part::text("")]),
        of_parts(0, [signed.clone(), v1::Part::text("d")]),
        of_parts(0, [call.clone()]),
        of_parts(0, [v1::Part::text("e")]),
    ]);
    let expected = [
        thought("Hm"),
        v1::Part::text("ab"),
        signed,
        v1::Part::text("d"),
        call,
        v1::Part::text("e"),
    ];
    assert_eq!(parts(&answer.candidates[0]), expected);
    assert_eq!(answer.candidates[0].content.as_ref().unwrap().role, "model");
}

#[test]
fn candidates_are_kept_apart_and_come_by_index() {
    let answer = generated([
        of_parts(1, [v1::Part::text("b")]),
        of_parts(0, [v1::Part::text("a")]),
        of_parts(1, [v1::Part::text("B")]),
    ]);
    assert_eq!(answer.candidates[0].index, 0);
    assert_eq!(answer.candidates[1].index, 1);
    assert_eq!(parts(&answer.candidates[1]), [v1::Part::text("bB")]);
}

#[test]
fn citations_and_probabilities_grow_and_what_describes_the_whole_is_replaced() {
    let piece = |name: &str, finish_reason: v1::candidate::FinishReason| {
        of_candidate(v1::Candidate {
            finish_reason: finish_reason.into(),
            citation_metadata: Some(v1::CitationMetadata {
                citations: vec![v1::CitationSource {
                    title: name.into(),
                    ..v1::CitationSource::default()
                }],
                ..v1::CitationMetadata::default()
            }),
            logprobs_result: Some(v1::LogprobsResult {
                chosen_candidates: vec![v1::LogprobsCandidate {
                    token: name.into(),
                    ..v1::LogprobsCandidate::default()
                }],
                log_probability_sum: Some(-1.0),
                ..v1::LogprobsResult::default()
            }),
            grounding_metadata: Some(v1::GroundingMetadata {
                web_search_queries: vec![name.into()],
                ..v1::GroundingMetadata::default()
            }),
            safety_ratings: vec![v1::SafetyRating::default()],
            avg_logprobs: Some(0.0),
            ..v1::Candidate::default()
        })
    };
    let answer = generated([
        piece("a", v1::candidate::FinishReason::Unspecified),
        piece("b", v1::candidate::FinishReason::Stop),
        of_candidate(v1::Candidate::default()),
    ]);
    let candidate = &answer.candidates[0];
    assert_eq!(candidate.finish_reason(), v1::candidate::FinishReason::Stop);
    let citations = &candidate.citation_metadata.as_ref().unwrap().citations;
    let titles: Vec<_> = citations.iter().map(|c| c.title.as_str()).collect();
    assert_eq!(titles, ["a", "b"]);
    let probabilities = candidate.logprobs_result.as_ref().unwrap();
    assert_eq!(probabilities.chosen_candidates.len(), 2);
    assert_eq!(probabilities.log_probability_sum, Some(-1.0));
    let grounding = candidate.grounding_metadata.as_ref().unwrap();
    assert_eq!(grounding.web_search_queries, ["b"]);
    assert_eq!(candidate.safety_ratings.len(), 1);
    assert_eq!(candidate.avg_logprobs, Some(0.0));
    assert_eq!(candidate.content, None);
}

#[test]
fn what_an_answer_says_of_itself_is_the_latest_and_its_sequence_is_none() {
    let of_tokens = |sequence, total_token_count| v1::GenerateContentResponse {
        sequence,
        usage_metadata: Some(v1::UsageMetadata {
            total_token_count,
            ..v1::UsageMetadata::default()
        }),
        response_id: "r".into(),
        ..v1::GenerateContentResponse::default()
    };
    let mut fold = ContentFold::default();
    fold.add(&of_tokens(1, 3));
    assert!(!fold.complete());
    fold.add(&v1::GenerateContentResponse {
        billed_usage: Some(v1::Usage::default()),
        ..of_tokens(2, 9)
    });
    assert!(fold.complete());
    assert_eq!(fold.sequence(), 2);
    let expected = v1::GenerateContentResponse {
        sequence: 0,
        billed_usage: Some(v1::Usage::default()),
        ..of_tokens(0, 9)
    };
    assert_eq!(fold.answer(), expected);
}

#[test]
fn lone_extras_stay_letter_by_letter_and_several_are_merged() {
    let of_extra = |json: &str| v1::GenerateContentResponse {
        extra_json: json.into(),
        ..v1::GenerateContentResponse::default()
    };
    let lone = of_extra(r#"{ "a" : 1 }"#);
    assert_eq!(generated([lone.clone()]), lone);
    let answer = generated([lone, of_extra(r#"{"b":[2.0],"a":"x"}"#)]);
    assert_eq!(answer.extra_json, r#"{"a":"x","b":[2.0]}"#);
}
