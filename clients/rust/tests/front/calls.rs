use contextbridge_client::tonic::{Code, Status};
use contextbridge_client::v1::{
    Context, GetContextRequest, GetContextResponse, ListContextsRequest, ListContextsResponse,
    UpdateContextRequest,
};
use contextbridge_client::{Error, v1};
use h2::Reason;

use crate::client_of;
use crate::scripted::{Call, Reply, Server};

fn context(id: &str) -> Context {
    Context {
        id: id.into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn reads_are_sent_again_and_changes_are_not() {
    let away = || Reply::nothing().then_fail(Status::unavailable("away"));
    let found = Reply::one(&GetContextResponse {
        context: Some(context("ctx-1")),
    });
    let server = Server::start([away(), away(), away(), found, away(), away()]).await;
    let client = client_of(&server);

    assert_eq!(client.get_context("ctx-1").await.unwrap().id, "ctx-1");
    let calls = server.calls();
    assert_eq!(calls.len(), 4);
    assert_eq!(calls[3].path, "/contextbridge.v1.ContextService/GetContext");
    assert_eq!(calls[3].request::<GetContextRequest>().id, "ctx-1");

    let update = client.update_context(UpdateContextRequest::default());
    assert_eq!(update.await.unwrap_err().code(), Code::Unavailable);
    let delete = client.delete_context("ctx-1").await;
    assert_eq!(delete.unwrap_err().code(), Code::Unavailable);
    assert_eq!(server.calls().len(), 2);
}

#[tokio::test]
async fn reads_are_tried_four_times() {
    let server = Server::start(
        (0..9)
            .map(|_| Reply::nothing().then_cut())
            .collect::<Vec<_>>(),
    )
    .await;

    let error = client_of(&server).get_context("ctx-1").await.unwrap_err();

    assert_eq!(error.code(), Code::Unavailable, "{error:?}");
    assert_eq!(server.calls().len(), 4);
}

#[tokio::test]
async fn a_list_is_read_over_all_of_its_pages() {
    let page = |ids: &[&str], next: &str| {
        Reply::one(&ListContextsResponse {
            contexts: ids.iter().copied().map(context).collect(),
            next_page_token: next.into(),
        })
    };
    let server = Server::start([page(&["a", "b"], "2"), page(&[], "3"), page(&["c"], "")]).await;
    let request = ListContextsRequest {
        model: "m".into(),
        page_size: 2,
        ..Default::default()
    };

    let all = client_of(&server)
        .list_contexts(request.clone())
        .all()
        .await;

    let ids: Vec<String> = all.unwrap().into_iter().map(|c| c.id).collect();
    assert_eq!(ids, ["a", "b", "c"]);
    let asked: Vec<ListContextsRequest> = server.calls().iter().map(Call::request).collect();
    let of_page = |token: &str| ListContextsRequest {
        page_token: token.into(),
        ..request.clone()
    };
    assert_eq!(asked, [of_page(""), of_page("2"), of_page("3")]);
}

#[tokio::test]
async fn a_list_ends_after_its_first_error() {
    let gone = Reply::nothing().then_fail(Status::not_found("gone"));
    let server = Server::start([gone]).await;
    let mut list = client_of(&server).list_contexts(ListContextsRequest::default());

    assert_eq!(
        list.next().await.unwrap().unwrap_err().code(),
        Code::NotFound
    );
    assert!(list.next().await.is_none());
}

#[tokio::test]
async fn a_call_that_is_dropped_is_cancelled() {
    let mut server = Server::start([Reply::nothing().then_stay_open()]).await;
    let client = client_of(&server);
    let call = tokio::spawn(client.get_context("ctx-1").into_future());

    loop {
        if !server.calls().is_empty() {
            break;
        }
        tokio::task::yield_now().await;
    }
    call.abort();

    assert_eq!(server.reset().await, Reason::CANCEL);
}

#[tokio::test]
async fn large_messages_pass_and_larger_ones_are_not_sent() {
    let megabytes = |count: usize| context(&"x".repeat(count << 20));
    let large = Reply::one(&GetContextResponse {
        context: Some(megabytes(20)),
    });
    let server = Server::start([large]).await;
    let client = client_of(&server);

    let context = client.get_context("ctx-1").await.unwrap();
    assert_eq!(context.id.len(), 20 << 20);
    assert_eq!(server.calls().len(), 1);

    let request = v1::GenerateContentRequest {
        model: "x".repeat(65 << 20),
        idempotency_key: "id".into(),
        ..Default::default()
    };
    let error = client.generate_content(request).await.unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted, "{error:?}");
    assert!(server.calls().is_empty());
}

#[tokio::test]
async fn stubs_reach_what_the_client_leaves_out() {
    let found = Reply::one(&GetContextResponse::default());
    let gone = Reply::nothing().then_fail(Status::not_found("gone"));
    let server = Server::start([found, gone]).await;
    let mut contexts = client_of(&server).stubs().contexts;

    contexts
        .get_context(GetContextRequest::default())
        .await
        .unwrap();
    let status = contexts.get_context(GetContextRequest::default()).await;
    assert_eq!(Error::from(status.unwrap_err()).code(), Code::NotFound);
}
