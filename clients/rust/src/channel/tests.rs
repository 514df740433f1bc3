use tokio::net::TcpListener;

use super::*;
use crate::v1;

/// A channel to addresses that were looked up.
fn channel_to(looked: Looked) -> Channel {
    let (_, channels) = watch::channel(Some(looked));
    Channel(Arc::new(Shared {
        way: Way::Name(Name {
            channels,
            wanted: Arc::default(),
            next: AtomicUsize::new(0),
        }),
        secrets: Secrets::default(),
    }))
}

fn endpoint() -> Endpoint {
    Endpoint::from_static("http://bridge:1")
}

async fn call(channel: &Channel) -> Result<v1::GetContextResponse, Error> {
    let request = v1::GetContextRequest::default();
    channel
        .begin(method!(contexts.get_context), &request, None)
        .await
}

/// An address where connections are taken and lost.
async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn is_unconnected(error: &Error) -> bool {
    std::iter::successors(std::error::Error::source(error), |&cause| cause.source())
        .any(<dyn std::error::Error>::is::<ConnectError>)
}

#[tokio::test]
async fn calls_are_spread_over_the_addresses_in_turn() {
    let (first, to_first) = listener().await;
    let (second, to_second) = listener().await;
    let all = [to_first, to_second].map(|address| connect_to(address, &endpoint()));
    let channel = channel_to(Ok(all.into()));

    for listener in [&first, &second, &first] {
        let lose = async { drop(listener.accept().await) };
        let (called, ()) = tokio::join!(call(&channel), lose);
        assert!(called.is_err());
    }
}

#[tokio::test]
async fn an_address_that_cannot_be_connected_to_is_passed_over() {
    let (listener, alive) = listener().await;
    let dead = "127.0.0.1:1".parse().unwrap();
    let all = [dead, alive].map(|address| connect_to(address, &endpoint()));
    let channel = channel_to(Ok(all.into()));
    tokio::spawn(async move {
        loop {
            drop(listener.accept().await);
        }
    });

    for _ in 0..3 {
        let error = call(&channel).await.unwrap_err();
        assert!(!is_unconnected(&error), "{error:?}");
    }
}

#[tokio::test]
async fn where_no_address_can_be_connected_to_the_last_one_says_why() {
    let dead = ["127.0.0.1:1", "127.0.0.1:2"];
    let all = dead.map(|address| connect_to(address.parse().unwrap(), &endpoint()));

    let error = call(&channel_to(Ok(all.into()))).await.unwrap_err();

    assert_eq!(error.code(), Code::Unavailable);
    assert!(is_unconnected(&error), "{error:?}");
}

#[tokio::test]
async fn a_name_is_looked_up_for_as_long_as_it_is_wanted() {
    let (found, mut channels) = watch::channel(None);
    let wanted = Arc::default();
    let looking = tokio::spawn(look_up("127.0.0.1:1".into(), endpoint(), found, wanted));
    let looked = channels.wait_for(Option::is_some).await.unwrap().clone();
    assert_eq!(looked.unwrap().unwrap().len(), 1);

    drop(channels);

    looking.await.unwrap();
}
