use std::time::{Duration, Instant};

use contextbridge_client::tonic::{Code, Status};
use contextbridge_client::v1::{
    ChatWithContextRequest, CompleteChatWithContextResponse, CreateContextRequest,
    CreateContextResponse, ErrorReason,
};
use contextbridge_client::{Client, Resume, text_of};
use h2::Reason;
use tonic_types::{ErrorDetails, StatusExt};

use crate::scripted::{Call, Reply, Server};
use crate::{HURRIED, chat, client_of, completed, content, started};

fn failure(code: Code, reason: ErrorReason) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason.as_str_name(), "contextbridge.dev", []);
    Status::with_error_details(code, "of the server", details)
}

#[tokio::test]
async fn a_cut_stream_goes_on_after_its_newest_event() {
    let server = Server::start([
        Reply::of([started(1, true), content(2, "One")]).then_stay_open(),
        Reply::nothing().then_cut(),
        Reply::of([content(3, " two"), completed(4)]),
    ])
    .await;
    let mut stream = client_of(&server).chat(chat("id"));

    let mut sequences = Vec::new();
    while let Some(event) = stream.next().await {
        sequences.push(event.unwrap().sequence);
        if sequences == [1, 2] {
            server.cut();
        }
    }

    assert_eq!(sequences, [1, 2, 3, 4]);
    assert_eq!(text_of(&stream.answer().await.unwrap(), 0), "One two");
    let asked: Vec<ChatWithContextRequest> = server.calls().iter().map(Call::request).collect();
    let mut rest = chat("id");
    rest.resume_after = 2;
    assert_eq!(asked, [chat("id"), rest.clone(), rest]);
}

#[tokio::test]
async fn a_stream_begun_after_an_event_is_resumed_after_that_at_least() {
    let server = Server::start([
        Reply::nothing().then_cut(),
        Reply::of([content(8, "rest"), completed(9)]),
    ])
    .await;
    let mut request = chat("id");
    request.resume_after = 7;
    let mut stream = client_of(&server).chat(request.clone());

    assert_eq!(stream.next().await.unwrap().unwrap().sequence, 8);
    let asked: Vec<ChatWithContextRequest> = server.calls().iter().map(Call::request).collect();
    assert_eq!(asked, [request.clone(), request]);
}

#[tokio::test]
async fn whatever_breaks_without_a_reason_is_resumed() {
    let mut replies = vec![
        Reply::nothing().then_fail(Status::unavailable("")),
        Reply::nothing().then_fail(Status::cancelled("")),
        Reply::nothing().then_fail(Status::internal("")),
        Reply::nothing().then_fail(Status::unknown("")),
        Reply::nothing().then_reset(Reason::INTERNAL_ERROR),
    ];
    replies.push(Reply::of([started(1, true), completed(2)]));
    let calls = replies.len();
    let server = Server::start(replies).await;

    client_of(&server).chat(chat("id")).answer().await.unwrap();

    assert_eq!(server.calls().len(), calls);
}

#[tokio::test]
async fn a_server_that_is_busy_is_asked_again_after_the_delay_it_wants() {
    let mut details = ErrorDetails::new();
    details.set_error_info("ERROR_REASON_STORE_UNAVAILABLE", "contextbridge.dev", []);
    details.set_retry_info(Some(Duration::from_millis(60)));
    let busy = Status::with_error_details(Code::Unavailable, "", details);
    let server = Server::start([
        Reply::nothing().then_fail(busy),
        Reply::nothing().then_fail(failure(Code::ResourceExhausted, ErrorReason::Overloaded)),
        Reply::of([completed(1)]),
    ])
    .await;
    let before = Instant::now();

    client_of(&server).chat(chat("id")).answer().await.unwrap();

    assert!(before.elapsed() >= Duration::from_millis(60));
}

#[tokio::test]
async fn a_reason_of_the_servers_is_the_answer() {
    let unavailable = failure(Code::Unavailable, ErrorReason::UpstreamUnavailable);
    let server = Server::start([Reply::nothing().then_fail(unavailable)]).await;

    let error = client_of(&server).chat(chat("id")).answer().await;

    assert!(error.unwrap_err().is(ErrorReason::UpstreamUnavailable));
    assert_eq!(server.calls().len(), 1);
}

#[tokio::test]
async fn tries_are_bound_and_the_break_is_the_failure() {
    let server = Server::start(
        (0..9)
            .map(|_| Reply::nothing().then_cut())
            .collect::<Vec<_>>(),
    )
    .await;

    let error = client_of(&server).chat(chat("id")).answer().await;

    let error = error.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{error:?}");
    assert_eq!(error.reason(), "");
    assert_eq!(server.calls().len(), 6);
}

#[tokio::test]
async fn a_new_event_begins_the_count_again() {
    let lost = || Status::unavailable("");
    let server = Server::start([
        Reply::of([started(1, true)]).then_fail(lost()),
        Reply::of([content(2, "a")]).then_fail(lost()),
        Reply::of([content(3, "b")]).then_fail(lost()),
        Reply::of([completed(4)]),
    ])
    .await;
    let once = Resume {
        attempts: 1,
        ..HURRIED
    };

    let answer = client_of(&server)
        .chat(chat("id"))
        .resume(once)
        .answer()
        .await;

    assert_eq!(text_of(&answer.unwrap(), 0), "ab");
}

#[tokio::test]
async fn nothing_is_resumed_that_has_no_name_or_may_not_be() {
    let lost = || Reply::of([started(1, true)]).then_fail(Status::unavailable(""));
    let server = Server::start([lost(), lost(), lost()]).await;
    let client = client_of(&server);
    let off = Client::builder(server.address()).resume(Resume::OFF);

    client.chat(chat("")).answer().await.unwrap_err();
    let mut told = client.chat(chat("id")).resume(Resume::OFF);
    told.answer().await.unwrap_err();
    off.build()
        .unwrap()
        .chat(chat("id"))
        .answer()
        .await
        .unwrap_err();

    assert_eq!(server.calls().len(), 3);
}

#[tokio::test]
async fn what_the_server_cannot_resume_fails_with_the_break() {
    let reply = Reply::of([started(1, false), content(2, "Half")]).then_stay_open();
    let server = Server::start([reply]).await;
    let mut stream = client_of(&server).chat(chat("id"));
    stream.next().await.unwrap().unwrap();
    stream.next().await.unwrap().unwrap();

    server.cut();

    let error = stream.next().await.unwrap().unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{error:?}");
    assert_eq!(server.calls().len(), 1);
}

#[tokio::test]
async fn a_pause_that_ends_after_the_deadline_is_not_begun() {
    let server = Server::start([Reply::nothing().then_fail(Status::unavailable("lost"))]).await;
    let slow = Resume {
        initial_backoff: Duration::from_secs(3600),
        max_backoff: Duration::from_secs(3600),
        ..Resume::default()
    };
    let mut stream = client_of(&server)
        .chat(chat("id"))
        .resume(slow)
        .timeout(Duration::from_secs(60));

    assert_eq!(stream.answer().await.unwrap_err().message(), "lost");
}

#[tokio::test]
async fn whole_answers_and_creates_with_a_name_are_sent_again() {
    let server = Server::start([
        Reply::nothing().then_cut(),
        Reply::one(&CompleteChatWithContextResponse::default()),
        Reply::nothing().then_cut(),
        Reply::one(&CreateContextResponse::default()),
        Reply::nothing().then_cut(),
        Reply::nothing().then_cut(),
    ])
    .await;
    let client = client_of(&server);
    let create = |idempotency_key: &str| CreateContextRequest {
        idempotency_key: idempotency_key.into(),
        ..Default::default()
    };

    client.complete_chat(chat("id")).await.unwrap();
    client.create_context(create("id")).await.unwrap();
    assert_eq!(server.calls().len(), 4);

    client.complete_chat(chat("")).await.unwrap_err();
    let error = client.create_context(create("")).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{error:?}");
    assert_eq!(server.calls().len(), 2);
}
