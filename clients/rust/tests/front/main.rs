//! The front against a server that follows a script, over real sockets.

mod calls;
mod connecting;
mod resuming;
mod scripted;
mod streams;
mod upload;

use std::time::Duration;

use contextbridge_client::v1::{
    ChatCompleted, ChatMessage, ChatStarted, ChatWithContextRequest, ChatWithContextResponse,
    TextDelta, Usage, chat_with_context_response::Event,
};
use contextbridge_client::{Client, Resume};
use prost::Message;

use scripted::Server;

/// Resumes as by default, but without losing time.
const HURRIED: Resume = Resume {
    attempts: 5,
    initial_backoff: Duration::from_millis(1),
    max_backoff: Duration::from_millis(2),
};

fn client_of(server: &Server) -> Client {
    Client::builder(server.address())
        .resume(HURRIED)
        .build()
        .expect("a local target needs no more")
}

fn chat(idempotency_key: &str) -> ChatWithContextRequest {
    ChatWithContextRequest {
        context_id: "ctx-1".into(),
        model: "m".into(),
        messages: vec![ChatMessage::user("Hello")],
        idempotency_key: idempotency_key.into(),
        ..Default::default()
    }
}

fn event(sequence: i32, event: Event) -> Vec<u8> {
    let event = Some(event);
    ChatWithContextResponse { sequence, event }.encode_to_vec()
}

fn started(sequence: i32, resumable: bool) -> Vec<u8> {
    event(
        sequence,
        Event::Started(ChatStarted {
            id: "a-1".into(),
            resumable,
            ..Default::default()
        }),
    )
}

fn content(sequence: i32, text: &str) -> Vec<u8> {
    event(
        sequence,
        Event::Content(TextDelta {
            text: text.into(),
            ..Default::default()
        }),
    )
}

fn completed(sequence: i32) -> Vec<u8> {
    event(
        sequence,
        Event::Completed(ChatCompleted {
            usage: Some(Usage::default()),
            ..Default::default()
        }),
    )
}
