//! How a client reaches the server: target, TLS, credentials, and what its calls default to.

use std::fmt;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::uri::{Authority, InvalidUri};
use tonic::Code;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use crate::call::Defaults;
use crate::channel::{Channel, Secrets};
use crate::{Client, Error, Resume};

/// Where a server listens that was started without an address.
pub const DEFAULT_TARGET: &str = "127.0.0.1:50051";

const USER_AGENT: &str = concat!("contextbridge-rust/", env!("CARGO_PKG_VERSION"));

// Servers take one ping in five minutes without data and cut off whoever sends more; the rest is
// room for the network's jitter.
const DEFAULT_KEEPALIVE: Duration = Duration::from_secs(330);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

// A status lists every field violation; HTTP/2's usual limit of 16 KiB would drop the whole of it.
const MAX_METADATA_BYTES: u32 = 64 * 1024;

/// A secret, or what reads it for each call: then it can be replaced while the client lives.
///
/// It is made from a string, or from a function that returns one.
#[derive(Clone)]
pub struct Secret(Read);

#[derive(Clone)]
enum Read {
    Fixed(String),
    Each(Arc<dyn Fn() -> String + Send + Sync>),
}

impl Secret {
    pub(crate) fn read(&self) -> String {
        match &self.0 {
            Read::Fixed(secret) => secret.clone(),
            Read::Each(read) => read(),
        }
    }
}

impl From<&str> for Secret {
    fn from(secret: &str) -> Self {
        Self(Read::Fixed(secret.to_owned()))
    }
}

impl From<String> for Secret {
    fn from(secret: String) -> Self {
        Self(Read::Fixed(secret))
    }
}

impl<F: Fn() -> String + Send + Sync + 'static> From<F> for Secret {
    fn from(read: F) -> Self {
        Self(Read::Each(Arc::new(read)))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Whom a client trusts, and who it is. Everything is PEM, as a file or as its content.
///
/// The default trusts the system's roots and shows no certificate.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    ca: Option<Pem>,
    identity: Option<(Pem, Pem)>,
    server_name: Option<String>,
}

#[derive(Clone)]
enum Pem {
    File(PathBuf),
    Content(Vec<u8>),
}

impl Tls {
    /// TLS with the system's roots.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts the authorities of this file instead of the system's.
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca = Some(Pem::File(path.into()));
        self
    }

    /// Trusts these authorities instead of the system's.
    #[must_use]
    pub fn ca_pem(mut self, certificates: impl Into<Vec<u8>>) -> Self {
        self.ca = Some(Pem::Content(certificates.into()));
        self
    }

    /// Shows the certificate chain of one file, with the private key of another.
    #[must_use]
    pub fn identity_files(mut self, cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.identity = Some((Pem::File(cert.into()), Pem::File(key.into())));
        self
    }

    /// Shows this certificate chain, with this private key.
    #[must_use]
    pub fn identity_pem(mut self, cert: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.identity = Some((Pem::Content(cert.into()), Pem::Content(key.into())));
        self
    }

    /// The name that the server's certificate is checked against, where it is not the target's.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    fn config(&self) -> Result<ClientTlsConfig, Error> {
        let config = match &self.ca {
            Some(ca) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca.read()?)),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        let config = match &self.identity {
            Some((cert, key)) => config.identity(Identity::from_pem(cert.read()?, key.read()?)),
            None => config,
        };
        Ok(match &self.server_name {
            Some(name) => config.domain_name(name),
            None => config,
        })
    }
}

impl Pem {
    fn read(&self) -> Result<Vec<u8>, Error> {
        match self {
            Self::Content(content) => Ok(content.clone()),
            Self::File(path) => {
                fs::read(path).map_err(|error: io::Error| Error::unusable(path.display(), error))
            }
        }
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.fmt(f),
            Self::Content(_) => f.write_str("…"),
        }
    }
}

/// Makes a [`Client`]. [`Client::builder`] begins one.
#[must_use = "a builder makes nothing before `build`"]
pub struct Builder {
    target: String,
    secrets: Secrets,
    tls: Option<Tls>,
    insecure_token: bool,
    keepalive: Option<Duration>,
    connect_timeout: Duration,
    defaults: Defaults,
    adjust: Vec<Box<dyn FnOnce(Endpoint) -> Endpoint>>,
}

impl Builder {
    pub(crate) fn new(target: String) -> Self {
        Self {
            target,
            secrets: Secrets::default(),
            tls: None,
            insecure_token: false,
            keepalive: Some(DEFAULT_KEEPALIVE),
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            defaults: Defaults::default(),
            adjust: Vec::new(),
        }
    }

    /// Who the caller is: a string, or a function that returns one for each call. Goes as
    /// `authorization: Bearer …`.
    pub fn token(mut self, token: impl Into<Secret>) -> Self {
        self.secrets.token = Some(token.into());
        self
    }

    /// The caller's own key of upstream, where the server passes it on: a string, or a function
    /// that returns one for each call.
    pub fn upstream_api_key(mut self, key: impl Into<Secret>) -> Self {
        self.secrets.upstream_api_key = Some(key.into());
        self
    }

    /// Connects with TLS. Without it the connection is plain text.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Sends token and key in plain text to another machine, where something else encrypts the way.
    pub fn insecure_token(mut self, allowed: bool) -> Self {
        self.insecure_token = allowed;
        self
    }

    /// How often the connection is probed during a call, 330 s by default; `None` never probes.
    ///
    /// Servers cut off clients that probe more often than they allow, by default every 5 minutes.
    pub fn keepalive(mut self, every: impl Into<Option<Duration>>) -> Self {
        self.keepalive = every.into();
        self
    }

    /// The longest that making a connection may take, 10 s by default.
    pub fn connect_timeout(mut self, longest: Duration) -> Self {
        self.connect_timeout = longest;
        self
    }

    /// The deadline of each call that brings none, streams as a whole. Without it they have none.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.defaults.timeout = Some(timeout);
        self
    }

    /// How calls with an `idempotency_key` that break are taken up again. [`Resume::OFF`] leaves that to
    /// the caller.
    pub fn resume(mut self, resume: Resume) -> Self {
        self.defaults.resume = resume;
        self
    }

    /// Adjusts tonic's own settings of the connection, after the client's.
    pub fn endpoint(mut self, adjust: impl FnOnce(Endpoint) -> Endpoint + 'static) -> Self {
        self.adjust.push(Box::new(adjust));
        self
    }

    /// Makes the client. It connects with its first call, and again whenever that is needed.
    ///
    /// Fails with `InvalidArgument` for a target that is none, a token or key that would leave this
    /// machine in plain text, and a certificate that cannot be read.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime.
    pub fn build(self) -> Result<Client, Error> {
        let target = Target::parse(&self.target)?;
        let has_secret = self.secrets.token.is_some() || self.secrets.upstream_api_key.is_some();
        if has_secret && self.tls.is_none() && !target.is_local() && !self.insecure_token {
            return Err(Error::local(
                Code::InvalidArgument,
                format!(
                    "a token or key would go to {:?} in the clear: use tls, or insecure_token \
                     where something else encrypts the way",
                    self.target
                ),
            ));
        }
        let mut endpoint = self.endpoint_of(&target)?;
        for adjust in self.adjust {
            endpoint = adjust(endpoint);
        }
        let channel = match target {
            Target::Name(name) => Channel::to_name(name.to_string(), endpoint, self.secrets),
            Target::Unix(_) | Target::Host(_) => Channel::to_host(&endpoint, self.secrets),
        };
        Ok(Client::new(channel, self.defaults))
    }

    fn endpoint_of(&self, target: &Target) -> Result<Endpoint, Error> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let endpoint = Endpoint::from_shared(match target {
            Target::Unix(path) => format!("unix:{path}"),
            Target::Host(host) | Target::Name(host) => format!("{scheme}://{host}"),
        })
        .and_then(|endpoint| endpoint.user_agent(USER_AGENT))
        .map_err(|error| Error::unusable(&self.target, error))?;
        let mut endpoint = endpoint
            .connect_timeout(self.connect_timeout)
            .http2_max_header_list_size(MAX_METADATA_BYTES);
        if let Some(every) = self.keepalive {
            endpoint = endpoint
                .http2_keep_alive_interval(every)
                .keep_alive_timeout(KEEPALIVE_TIMEOUT)
                .keep_alive_while_idle(false);
        }
        let Some(tls) = &self.tls else {
            return Ok(endpoint);
        };
        if let Some(name) = &tls.server_name {
            let origin = format!("{scheme}://{name}")
                .parse()
                .map_err(|error: InvalidUri| Error::unusable(name, error))?;
            endpoint = endpoint.origin(origin);
        }
        endpoint
            .tls_config(tls.config()?.timeout(self.connect_timeout))
            .map_err(|error| Error::unusable("TLS", error))
    }
}

/// Where a server is.
#[derive(Debug, PartialEq)]
enum Target {
    /// A socket of this machine.
    Unix(String),
    /// A host, of which one address is used.
    Host(Authority),
    /// A host, of which all addresses are used.
    Name(Authority),
}

impl Target {
    fn parse(target: &str) -> Result<Self, Error> {
        if let Some(path) = target.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return Ok(Self::Unix(path.to_owned()));
        }
        match target.strip_prefix("dns:") {
            // dns://authority/host:port names the host last.
            Some(name) => authority(name.rsplit('/').next().unwrap_or(name)).map(Self::Name),
            None => authority(target).map(Self::Host),
        }
    }

    /// Whether everything that goes there stays on this machine.
    fn is_local(&self) -> bool {
        let (Self::Host(authority) | Self::Name(authority)) = self else {
            return true;
        };
        let host = authority.host();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost"
            || host.ends_with(".localhost")
            || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    }
}

/// `host:port`; the port may be left out where it is the usual one, 443.
fn authority(address: &str) -> Result<Authority, Error> {
    let parsed: Authority = address
        .parse()
        .map_err(|error: InvalidUri| Error::unusable(format!("{address:?}"), error))?;
    if parsed.host().is_empty() || parsed.as_str().contains('@') {
        let message = format!("{address:?} is not host:port");
        return Err(Error::local(Code::InvalidArgument, message));
    }
    if parsed.port().is_some() {
        return Ok(parsed);
    }
    format!("{parsed}:443")
        .parse()
        .map_err(|error: InvalidUri| Error::unusable(format!("{address:?}"), error))
}
