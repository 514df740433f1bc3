//! The way to the server: one connection, or one to each address of a name, and what every call on
//! it carries.

use std::collections::HashMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use hyper_util::rt::TokioIo;
use prost::Message;
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout_at};
use tonic::body::Body;
use tonic::transport::{self, Endpoint, Uri};
use tonic::{Code, ConnectError, Status};
use tower::{Service, service_fn};

use crate::error::causes;
use crate::v1::{
    cached_content_service_client::CachedContentServiceClient,
    context_service_client::ContextServiceClient, file_service_client::FileServiceClient,
    gemini_service_client::GeminiServiceClient,
    response_cache_service_client::ResponseCacheServiceClient,
};
use crate::{Error, Secret};

pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A method of a stub, of which `method!` makes one.
pub(crate) type Method<Q, A> =
    fn(Stubs, tonic::Request<Q>) -> BoxFuture<Result<tonic::Response<A>, Status>>;

/// The [`Method`] of a stub's method.
macro_rules! method {
    ($service:ident.$method:ident) => {
        |mut stubs, request| Box::pin(async move { stubs.$service.$method(request).await })
    };
}
pub(crate) use method;

/// Whole answers hold images.
const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// A name is looked up again so often, and where an address of it cannot be connected to, but not
/// more often than the other.
const LOOKUP_EVERY: Duration = Duration::from_secs(30);
const LOOKUP_AT_MOST_EVERY: Duration = Duration::from_secs(1);

const UPSTREAM_API_KEY: HeaderName = HeaderName::from_static("x-upstream-api-key");

/// The channel of a client, for the generated stubs. It is cheap to clone.
///
/// Calls are spread over the addresses of the target in turn, and carry the client's token and key.
#[derive(Clone)]
pub struct Channel(Arc<Shared>);

struct Shared {
    way: Way,
    secrets: Secrets,
}

/// Who the caller is.
#[derive(Default)]
pub(crate) struct Secrets {
    pub(crate) token: Option<Secret>,
    pub(crate) upstream_api_key: Option<Secret>,
}

impl Secrets {
    fn write(&self, headers: &mut HeaderMap) -> Result<(), Status> {
        if let Some(token) = &self.token {
            let bearer = format!("Bearer {}", token.read());
            headers.insert(AUTHORIZATION, secret_value(&bearer)?);
        }
        if let Some(key) = &self.upstream_api_key {
            headers.insert(UPSTREAM_API_KEY, secret_value(&key.read())?);
        }
        Ok(())
    }
}

fn secret_value(text: &str) -> Result<HeaderValue, Status> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        Status::invalid_argument("the token or key has characters that metadata cannot hold")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

enum Way {
    One(transport::Channel),
    Name(Name),
}

/// A name with several addresses.
struct Name {
    channels: watch::Receiver<Option<Looked>>,
    wanted: Arc<Notify>,
    next: AtomicUsize,
}

/// What a name was found to be: a channel for each address, or why there is none.
type Looked = Result<Arc<[transport::Channel]>, String>;

impl Channel {
    /// A channel to one address, or to the first that answers of a host.
    pub(crate) fn to_host(endpoint: &Endpoint, secrets: Secrets) -> Self {
        let way = Way::One(endpoint.connect_lazy());
        Self(Arc::new(Shared { way, secrets }))
    }

    /// A channel to all addresses of a host. A task looks the name up for as long as it lives.
    pub(crate) fn to_name(name: String, endpoint: Endpoint, secrets: Secrets) -> Self {
        let (found, channels) = watch::channel(None);
        let wanted = Arc::new(Notify::new());
        tokio::spawn(look_up(name, endpoint, found, wanted.clone()));
        let way = Way::Name(Name {
            channels,
            wanted,
            next: AtomicUsize::new(0),
        });
        Self(Arc::new(Shared { way, secrets }))
    }

    /// Begins a call; the answer to a unary one is all of it.
    ///
    /// A call that no connection could be made for never left this process, and is begun on the
    /// next address.
    pub(crate) async fn begin<Q: Message + Clone, A>(
        &self,
        method: Method<Q, A>,
        request: &Q,
        deadline: Option<Instant>,
    ) -> Result<A, Error> {
        // The transport would break the call, and not say why.
        if request.encoded_len() > MAX_MESSAGE_BYTES {
            return Err(Error::local(
                Code::ResourceExhausted,
                "The request is larger than 64 MiB.",
            ));
        }
        let mut tried = 0;
        loop {
            let request = with_deadline(request.clone(), deadline);
            let call = method(Stubs::new(self), request);
            match within(deadline, call).await? {
                Ok(response) => return Ok(response.into_inner()),
                Err(status) => {
                    tried += 1;
                    if !(is_connect_error(&status) && tried < self.0.way.width()) {
                        return Err(status.into());
                    }
                }
            }
        }
    }
}

impl Way {
    /// How many addresses there are, as far as is known.
    fn width(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Name(name) => match &*name.channels.borrow() {
                Some(Ok(channels)) => channels.len(),
                _ => 0,
            },
        }
    }

    async fn pick(&self) -> Result<transport::Channel, Status> {
        match self {
            Self::One(channel) => Ok(channel.clone()),
            Self::Name(name) => name.pick().await,
        }
    }

    /// Takes note of how a call ended.
    fn learn(&self, failure: &Status) {
        if let Self::Name(name) = self
            && is_connect_error(failure)
        {
            name.wanted.notify_one();
        }
    }
}

impl Name {
    async fn pick(&self) -> Result<transport::Channel, Status> {
        let mut channels = self.channels.clone();
        let looked = channels.wait_for(Option::is_some).await;
        match looked.as_deref() {
            Ok(Some(Ok(channels))) => {
                let turn = self.next.fetch_add(1, Ordering::Relaxed);
                Ok(channels[turn % channels.len()].clone())
            }
            Ok(Some(Err(message))) => {
                self.wanted.notify_one();
                Err(Status::unavailable(message))
            }
            Ok(None) | Err(_) => Err(Status::unavailable("the client's runtime has ended")),
        }
    }
}

/// Looks a name up again and again, until nobody wants it any more.
async fn look_up(
    name: String,
    endpoint: Endpoint,
    found: watch::Sender<Option<Looked>>,
    wanted: Arc<Notify>,
) {
    let mut channels: HashMap<SocketAddr, transport::Channel> = HashMap::new();
    loop {
        let looked = match lookup_host(&name).await {
            Ok(addresses) => {
                // Those that stay keep their connection.
                channels = addresses
                    .map(|address| {
                        let kept = channels.remove(&address);
                        let channel = kept.unwrap_or_else(|| connect_to(address, &endpoint));
                        (address, channel)
                    })
                    .collect();
                Ok(channels.values().cloned().collect::<Arc<[_]>>())
            }
            Err(error) => Err(format!("{name} has no address: {error}")),
        };
        match looked {
            Ok(all) if !all.is_empty() => found.send_replace(Some(Ok(all))),
            // What was known may still be there.
            _ if !channels.is_empty() => None,
            Ok(_) => found.send_replace(Some(Err(format!("{name} has no address")))),
            failed => found.send_replace(Some(failed)),
        };
        tokio::select! {
            () = found.closed() => return,
            () = sleep(LOOKUP_EVERY) => {}
            () = async {
                sleep(LOOKUP_AT_MOST_EVERY).await;
                wanted.notified().await;
            } => {}
        }
    }
}

/// A channel to one address of a name, which TLS and `:authority` go on to know by the name.
fn connect_to(address: SocketAddr, endpoint: &Endpoint) -> transport::Channel {
    endpoint.connect_with_connector_lazy(service_fn(move |_: Uri| async move {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok::<_, std::io::Error>(TokioIo::new(stream))
    }))
}

impl Service<http::Request<Body>> for Channel {
    type Response = http::Response<Body>;
    type Error = Status;
    type Future = BoxFuture<Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let shared = self.0.clone();
        Box::pin(async move {
            shared.secrets.write(request.headers_mut())?;
            let mut channel = shared.way.pick().await?;
            let answered = match poll_fn(|cx| channel.poll_ready(cx)).await {
                Ok(()) => channel.call(request).await,
                Err(error) => Err(error),
            };
            answered.map_err(|error| {
                let failure = Status::from_error(Box::new(error));
                shared.way.learn(&failure);
                failure
            })
        })
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").finish_non_exhaustive()
    }
}

/// The generated stubs on a client's [`Channel`], for whatever the client leaves out.
///
/// Their calls carry the client's token and key. They have no deadline but what the request brings,
/// are repeated never, and fail with a [`tonic::Status`], which [`Error`] reads.
#[derive(Clone, Debug)]
pub struct Stubs {
    /// Contexts and chats.
    pub contexts: ContextServiceClient<Channel>,
    /// Gemini-native generation.
    pub gemini: GeminiServiceClient<Channel>,
    /// Gemini's cached contents.
    pub cached_contents: CachedContentServiceClient<Channel>,
    /// Files.
    pub files: FileServiceClient<Channel>,
    /// The response cache.
    pub response_cache: ResponseCacheServiceClient<Channel>,
}

impl Stubs {
    pub(crate) fn new(channel: &Channel) -> Self {
        macro_rules! stub {
            ($client:ident) => {
                $client::new(channel.clone())
                    .max_decoding_message_size(MAX_MESSAGE_BYTES)
                    .max_encoding_message_size(MAX_MESSAGE_BYTES)
            };
        }
        Self {
            contexts: stub!(ContextServiceClient),
            gemini: stub!(GeminiServiceClient),
            cached_contents: stub!(CachedContentServiceClient),
            files: stub!(FileServiceClient),
            response_cache: stub!(ResponseCacheServiceClient),
        }
    }
}

/// A request that tells the server of the call's deadline.
pub(crate) fn with_deadline<T>(message: T, deadline: Option<Instant>) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    if let Some(deadline) = deadline {
        request.set_timeout(deadline - Instant::now());
    }
    request
}

/// What a future gives within the call's deadline.
pub(crate) async fn within<T>(
    deadline: Option<Instant>,
    future: impl Future<Output = T>,
) -> Result<T, Error> {
    match deadline {
        None => Ok(future.await),
        Some(deadline) => timeout_at(deadline, future)
            .await
            .map_err(|_| Error::deadline_exceeded()),
    }
}

fn is_connect_error(status: &Status) -> bool {
    causes(status).any(<dyn std::error::Error>::is::<ConnectError>)
}

#[cfg(test)]
mod tests;
