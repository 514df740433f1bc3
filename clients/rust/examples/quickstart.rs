//! A chat on a cached context, a Gemini answer, and an error with a reason.
//!
//! Run it against `make run`, or any server with the emulator.

use std::env;
use std::io::{self, Write};
use std::time::Duration;

use contextbridge_client::v1::{
    ChatMessage, ChatWithContextRequest, Content, ContextMode, CreateContextRequest,
    GenerateContentRequest,
};
use contextbridge_client::{Client, DEFAULT_TARGET, Error, duration, text_of};

const MODEL: &str = "Doubao-1.5-pro-32k";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let address = env::var("CONTEXTBRIDGE_ADDRESS").unwrap_or(DEFAULT_TARGET.into());
    let client = Client::builder(address).build()?;

    let created = client
        .create_context(CreateContextRequest {
            model: MODEL.into(),
            messages: vec![ChatMessage::system("You keep the lighthouse at Oban.")],
            mode: ContextMode::Session.into(),
            ttl: Some(duration(Duration::from_secs(3600))),
            ..Default::default()
        })
        .await?;
    let context = created.context.unwrap_or_default();

    // The request id lets the client take the stream up again where the connection breaks.
    let mut stream = client.chat(ChatWithContextRequest {
        context_id: context.id.clone(),
        model: MODEL.into(),
        messages: vec![ChatMessage::user("Where are you?")],
        idempotency_key: format!("{}-turn-1", context.id),
        ..Default::default()
    });
    let mut text = stream.text(0);
    while let Some(piece) = text.next().await {
        print!("{}", piece?);
        io::stdout().flush().expect("standard output is open");
    }
    println!();

    let usage = stream.answer().await?.usage.unwrap_or_default();
    println!(
        "{} of {} prompt tokens came from the cache",
        usage.cached_tokens, usage.prompt_tokens
    );

    let answer = client
        .generate_content(GenerateContentRequest {
            model: "gemini-2.5-flash".into(),
            contents: vec![Content::user("Name one sea bird.")],
            ..Default::default()
        })
        .await?;
    println!("{}", text_of(&answer, 0));

    if let Err(error) = client.get_context("context-that-is-gone").await {
        println!("{} {}", error.code_name(), error.reason());
    }

    client.delete_context(context.id).await
}
