//! Calls with one answer, and lists of pages.

use std::fmt;
use std::future::IntoFuture;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::vec;

use futures_core::Stream;
use prost::Message;
use tokio::time::{Instant, sleep};

use crate::channel::{BoxFuture, Channel, Method};
use crate::resume::{Attempts, Repeat};
use crate::{Error, Resume};

/// Longer timeouts are none: gRPC has no word for them.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// What calls do that are told nothing else.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Defaults {
    pub(crate) timeout: Option<Duration>,
    pub(crate) resume: Resume,
}

impl Defaults {
    /// The deadline of a call that begins now.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let timeout = self.timeout.filter(|timeout| *timeout < LONGEST_TIMEOUT)?;
        Some(Instant::now() + timeout)
    }
}

/// A call with one answer, which begins when it is awaited. Dropping the future ends the call.
#[must_use = "a call begins when it is awaited"]
pub struct Call<T> {
    options: Defaults,
    run: Box<dyn FnOnce(Defaults) -> BoxFuture<Result<T, Error>> + Send>,
}

impl<T> Call<T> {
    pub(crate) fn new<F>(
        options: Defaults,
        run: impl FnOnce(Defaults) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        Self {
            options,
            run: Box::new(move |options| Box::pin(run(options))),
        }
    }

    /// The deadline of the whole call, instead of the client's. [`Duration::MAX`] is none.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// How the call is sent again after a break where it has an `idempotency_key`, instead of as the
    /// client does.
    pub fn resume(mut self, resume: Resume) -> Self {
        self.options.resume = resume;
        self
    }
}

impl<T> IntoFuture for Call<T> {
    type Output = Result<T, Error>;
    type IntoFuture = BoxFuture<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        (self.run)(self.options)
    }
}

impl<T> fmt::Debug for Call<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// Makes a call with one answer, and makes it again after a break where it may.
pub(crate) async fn unary<Q: Message + Clone, A>(
    channel: Channel,
    method: Method<Q, A>,
    request: Q,
    repeat: Repeat,
    options: Defaults,
) -> Result<A, Error> {
    let deadline = options.deadline();
    let mut attempts = Attempts::new(repeat, options.resume);
    loop {
        let failure = match channel.begin(method, &request, deadline).await {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        match attempts.pause_after(&failure, deadline) {
            Some(pause) => sleep(pause).await,
            None => return Err(failure),
        }
    }
}

/// A page, and the token of the next one; empty after the last.
pub(crate) type Page<T> = (Vec<T>, String);

type Fetching<T> = BoxFuture<Result<Page<T>, Error>>;

/// Fetches the page with this token.
type Fetch<T> = Box<dyn FnMut(Defaults, String) -> Fetching<T> + Send>;

/// A list, fetched page by page as it is read: a stream, which [`next`](Self::next) reads without
/// further traits. It ends after its first error.
#[must_use = "a list is fetched when it is read"]
pub struct List<T> {
    options: Defaults,
    fetch: Fetch<T>,
    page: vec::IntoIter<T>,
    state: Pages<T>,
}

enum Pages<T> {
    /// The page with this token is to be fetched.
    Next(String),
    Fetching(Fetching<T>),
    Ended,
}

impl<T> List<T> {
    /// A list of all pages from one on.
    pub(crate) fn new<F>(
        options: Defaults,
        page_token: String,
        mut fetch: impl FnMut(Defaults, String) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Page<T>, Error>> + Send + 'static,
    {
        Self {
            options,
            fetch: Box::new(move |options, token| Box::pin(fetch(options, token))),
            page: Vec::new().into_iter(),
            state: Pages::Next(page_token),
        }
    }

    /// The deadline of each page, instead of the client's. [`Duration::MAX`] is none.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// The next one. `None` after the last, and after an error.
    pub async fn next(&mut self) -> Option<Result<T, Error>>
    where
        T: Unpin,
    {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// All of them.
    pub async fn all(mut self) -> Result<Vec<T>, Error>
    where
        T: Unpin,
    {
        let mut all = Vec::new();
        while let Some(one) = self.next().await {
            all.push(one?);
        }
        Ok(all)
    }
}

impl<T: Unpin> Stream for List<T> {
    type Item = Result<T, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(one) = this.page.next() {
                return Poll::Ready(Some(Ok(one)));
            }
            match &mut this.state {
                Pages::Next(token) => {
                    let token = std::mem::take(token);
                    this.state = Pages::Fetching((this.fetch)(this.options, token));
                }
                Pages::Fetching(page) => match ready!(page.as_mut().poll(cx)) {
                    Ok((page, next)) => {
                        this.page = page.into_iter();
                        this.state = if next.is_empty() {
                            Pages::Ended
                        } else {
                            Pages::Next(next)
                        };
                    }
                    Err(failure) => {
                        this.state = Pages::Ended;
                        return Poll::Ready(Some(Err(failure)));
                    }
                },
                Pages::Ended => return Poll::Ready(None),
            }
        }
    }
}

impl<T> fmt::Debug for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("List")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
