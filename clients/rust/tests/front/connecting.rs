use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use contextbridge_client::tonic::Code;
use contextbridge_client::v1::GetContextResponse;
use contextbridge_client::{Client, Resume, Tls};

use crate::chat;
use crate::scripted::{Reply, Server};

#[tokio::test]
async fn calls_carry_who_the_caller_is() {
    let found = || Reply::one(&GetContextResponse::default());
    let server = Server::start([found(), found()]).await;
    let reads = Arc::new(AtomicUsize::new(0));
    let client = Client::builder(server.address())
        .token(move || format!("token-{}", reads.fetch_add(1, Ordering::Relaxed)))
        .upstream_api_key("key")
        .build()
        .unwrap();

    client.get_context("ctx-1").await.unwrap();
    client.clone().get_context("ctx-1").await.unwrap();

    let calls = server.calls();
    assert_eq!(calls[0].header("authorization"), "Bearer token-0");
    assert_eq!(calls[1].header("authorization"), "Bearer token-1");
    assert_eq!(calls[0].header("x-upstream-api-key"), "key");
    let agent = concat!("contextbridge-rust/", env!("CARGO_PKG_VERSION"));
    assert!(calls[0].header("user-agent").starts_with(agent));
    // Clones share the connection.
    assert_eq!(calls[1].connection, 0);
}

#[tokio::test]
async fn a_token_goes_in_plain_text_to_this_machine_only() {
    for local in [
        "localhost:1",
        "[::1]:1",
        "127.8.0.1:1",
        "unix:/run/bridge.sock",
    ] {
        Client::builder(local).token("t").build().unwrap();
    }
    for far in [
        "bridge.internal:443",
        "dns:///bridge:50051",
        "10.0.0.1:1",
        "127.0.0.1.example:1",
    ] {
        let error = Client::builder(far).token("t").build().unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
        Client::builder(far)
            .upstream_api_key("k")
            .build()
            .unwrap_err();

        Client::builder(far).build().unwrap();
        let client = Client::builder(far).token("t").insecure_token(true);
        client.build().unwrap();
    }
}

#[tokio::test]
async fn a_target_or_certificate_that_is_none_is_refused() {
    for target in ["", ":1", "http://bridge:1", "a b:1", "user@bridge:1"] {
        let error = Client::builder(target).build().unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{target}");
    }
    let tls = Tls::new().ca_file("/there/is/none.pem");
    let error = Client::builder("bridge:443").tls(tls).build().unwrap_err();
    assert!(error.message().contains("/there/is/none.pem"));
    assert!(error.source().unwrap().is::<std::io::Error>());
}

#[tokio::test]
async fn a_name_is_looked_up() {
    let server = Server::start([Reply::one(&GetContextResponse::default())]).await;
    let target = format!("dns:///{}", server.address());
    let client = Client::builder(target).build().unwrap();

    client.get_context("ctx-1").await.unwrap();

    assert_eq!(server.calls().len(), 1);
}

#[tokio::test]
async fn a_name_without_an_address_is_unavailable() {
    let client = Client::builder("dns:///bridge.invalid:1").build().unwrap();

    let error = client.chat(chat("")).answer().await.unwrap_err();

    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.message().contains("bridge.invalid"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let client = Client::builder("127.0.0.1:1")
        .resume(Resume::OFF)
        .build()
        .unwrap();

    let error = client.chat(chat("id")).answer().await.unwrap_err();

    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.source().is_some());
}
