use std::time::Duration;

use contextbridge_client::tonic::{Code, Status};
use contextbridge_client::v1::{self, GenerateContentRequest, GenerateContentResponse};
use contextbridge_client::{ChatStream, Client, text_of};
use h2::Reason;
use prost::Message;

use crate::scripted::{Reply, Server};
use crate::{chat, client_of, completed, content, started};

async fn texts(stream: &mut ChatStream) -> Vec<String> {
    let mut texts = Vec::new();
    let mut pieces = stream.text(0);
    while let Some(piece) = pieces.next().await {
        texts.push(piece.unwrap());
    }
    texts
}

#[tokio::test]
async fn a_stream_is_read_as_events_then_text_then_whole() {
    let events = [
        started(1, true),
        content(2, "One"),
        content(3, " two"),
        content(4, " three"),
        completed(5),
    ];
    let server = Server::start([Reply::of(events)]).await;
    let mut stream = client_of(&server).chat(chat(""));

    assert_eq!(stream.sequence(), 0);
    stream.next().await.unwrap().unwrap();
    stream.next().await.unwrap().unwrap();
    assert_eq!(stream.sequence(), 2);
    assert_eq!(texts(&mut stream).await, [" two", " three"]);
    let answer = stream.answer().await.unwrap();
    assert_eq!(text_of(&answer, 0), "One two three");
    assert_eq!(answer.id, "a-1");
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn nothing_is_called_before_a_stream_is_read() {
    let server = Server::start([]).await;
    drop(client_of(&server).chat(chat("")));
    assert!(server.calls().is_empty());
}

#[tokio::test]
async fn a_stream_that_is_dropped_is_cancelled() {
    let mut server = Server::start([Reply::of([started(1, true)]).then_stay_open()]).await;
    let mut stream = client_of(&server).chat(chat("id"));
    stream.next().await.unwrap().unwrap();

    drop(stream);

    assert_eq!(server.reset().await, Reason::CANCEL);
}

#[tokio::test]
async fn a_stream_that_ends_well_without_its_last_event_is_data_loss() {
    let reply = Reply::of([started(1, true), content(2, "Half")]);
    let server = Server::start([reply]).await;
    let mut stream = client_of(&server).chat(chat("id"));

    let error = stream.answer().await.unwrap_err();
    assert_eq!(error.code(), Code::DataLoss);
    assert!(error.message().contains("`completed`"), "{error}");
    // It has ended, and stays what it was.
    assert!(stream.next().await.is_none());
    assert_eq!(stream.answer().await.unwrap_err().code(), Code::DataLoss);
    assert_eq!(server.calls().len(), 1);
}

#[tokio::test]
async fn a_gemini_stream_ends_with_its_billed_usage() {
    let piece = |text: &str, billed| GenerateContentResponse {
        candidates: vec![v1::Candidate {
            content: Some(v1::Content::model(text)),
            ..Default::default()
        }],
        billed_usage: billed,
        ..Default::default()
    };
    let whole = [
        piece("A ", None).encode_to_vec(),
        piece("gannet.", Some(v1::Usage::default())).encode_to_vec(),
    ];
    let half = [piece("A ", None).encode_to_vec()];
    let server = Server::start([Reply::of(whole), Reply::of(half)]).await;
    let client = client_of(&server);
    let request = GenerateContentRequest::default();

    let mut stream = client.stream_generate_content(request.clone());
    assert_eq!(text_of(&stream.answer().await.unwrap(), 0), "A gannet.");
    let mut stream = client.stream_generate_content(request);
    assert_eq!(stream.answer().await.unwrap_err().code(), Code::DataLoss);
}

#[tokio::test]
async fn a_break_after_the_last_event_loses_nothing() {
    let reply = Reply::of([started(1, true), completed(2)]).then_stay_open();
    let server = Server::start([reply]).await;
    let mut stream = client_of(&server).chat(chat("id"));
    stream.next().await.unwrap().unwrap();
    stream.next().await.unwrap().unwrap();

    server.cut();

    assert!(stream.next().await.is_none());
    assert!(stream.answer().await.is_ok());
    assert_eq!(server.calls().len(), 1);
}

#[tokio::test]
async fn a_stream_that_is_begun_after_an_event_has_no_whole_answer() {
    let rest = Reply::of([content(3, "two"), completed(4)]);
    let server = Server::start([rest, Reply::nothing()]).await;
    let client = client_of(&server);
    let mut request = chat("id");
    request.resume_after = 2;

    let mut stream = client.chat(request.clone());
    assert_eq!(texts(&mut stream).await, ["two"]);
    let error = stream.answer().await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);

    // Nothing follows the last event, and that is no loss.
    request.resume_after = 4;
    assert!(client.chat(request).next().await.is_none());
}

#[tokio::test]
async fn a_deadline_ends_a_stream_on_both_sides() {
    let mut server = Server::start([Reply::of([started(1, true)]).then_stay_open()]).await;
    let mut stream = client_of(&server)
        .chat(chat("id"))
        .timeout(Duration::from_millis(300));
    stream.next().await.unwrap().unwrap();

    let error = stream.next().await.unwrap().unwrap_err();

    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert_eq!(error.reason(), "");
    assert!(stream.next().await.is_none());
    assert_eq!(server.reset().await, Reason::CANCEL);
    let [call] = server.calls().try_into().ok().unwrap();
    assert!(!call.header("grpc-timeout").is_empty());
}

#[tokio::test]
async fn the_client_has_a_deadline_for_calls_that_bring_none() {
    let server =
        Server::start([Reply::nothing().then_stay_open(), Reply::of([completed(1)])]).await;
    let client = Client::builder(server.address())
        .timeout(Duration::from_millis(50))
        .build()
        .unwrap();

    let error = client.complete_chat(chat("")).await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded);

    let mut unhurried = client.chat(chat("")).timeout(Duration::MAX);
    unhurried.answer().await.unwrap();
    let calls = server.calls();
    assert!(!calls[0].header("grpc-timeout").is_empty());
    assert_eq!(calls[1].header("grpc-timeout"), "");
}

#[tokio::test]
async fn an_error_in_mid_stream_comes_after_the_events() {
    let failure = Status::resource_exhausted("too much");
    let reply = Reply::of([started(1, true), content(2, "Half")]).then_fail(failure);
    let server = Server::start([reply]).await;
    let mut stream = client_of(&server).chat(chat("id"));

    let mut texts = stream.text(0);
    assert_eq!(texts.next().await.unwrap().unwrap(), "Half");
    let error = texts.next().await.unwrap().unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted);
    assert_eq!(error.message(), "too much");
    assert!(texts.next().await.is_none());
}
