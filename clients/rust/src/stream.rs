//! Streams: an answer on its way, and its whole.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use prost::Message;
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tonic::{Code, Streaming};

use crate::call::Defaults;
use crate::channel::{BoxFuture, Channel, Method, method};
use crate::fold::{ChatFold, ContentFold, Fold};
use crate::resume::{Attempts, Repeat, broke};
use crate::{Error, Resume, v1};

/// A chat's answer on its way: `started`, its pieces, `completed`.
pub type ChatStream = AnswerStream<v1::ChatWithContextRequest>;

/// A Gemini answer on its way, piece by piece.
pub type ContentStream = AnswerStream<v1::GenerateContentRequest>;

/// A request that is answered by a stream.
pub trait Generation: sealed::Sealed + Message + Clone + Unpin + 'static {
    /// What the stream consists of.
    type Event: Send + 'static;

    /// What the events are together.
    type Answer;

    #[doc(hidden)]
    type Fold: Fold<Event = Self::Event, Answer = Self::Answer> + Unpin;
}

pub(crate) mod sealed {
    use super::{Generation, Method, Streaming};

    pub trait Sealed: Sized {
        /// What the request calls.
        fn method() -> Method<Self, Streaming<Self::Event>>
        where
            Self: Generation;

        fn idempotency_key(&self) -> &str;

        /// The sequence of the last event that is not wanted.
        fn resume_after(&mut self) -> &mut i32;
    }
}

impl Generation for v1::ChatWithContextRequest {
    type Event = v1::ChatWithContextResponse;
    type Answer = v1::CompleteChatWithContextResponse;
    type Fold = ChatFold;
}

impl sealed::Sealed for v1::ChatWithContextRequest {
    fn method() -> Method<Self, Streaming<v1::ChatWithContextResponse>> {
        method!(contexts.chat_with_context)
    }

    fn idempotency_key(&self) -> &str {
        &self.idempotency_key
    }

    fn resume_after(&mut self) -> &mut i32 {
        &mut self.resume_after
    }
}

impl Generation for v1::GenerateContentRequest {
    type Event = v1::GenerateContentResponse;
    type Answer = v1::GenerateContentResponse;
    type Fold = ContentFold;
}

impl sealed::Sealed for v1::GenerateContentRequest {
    fn method() -> Method<Self, Streaming<v1::GenerateContentResponse>> {
        method!(gemini.stream_generate_content)
    }

    fn idempotency_key(&self) -> &str {
        &self.idempotency_key
    }

    fn resume_after(&mut self) -> &mut i32 {
        &mut self.resume_after
    }
}

/// An answer on its way: a stream of its events as the server sends them, which
/// [`next`](Self::next) reads without further traits.
///
/// The call begins when it is first read. It ends with its last event or with an error, never
/// silently early: one that ends with `OK` and without its last event fails with `DataLoss`.
///
/// Dropping it before its end cancels the call, and upstream's work with it, unless other calls
/// share that (`response_cache`) or it is kept to be resumed (`idempotency_key`).
#[must_use = "a stream begins when it is read"]
pub struct AnswerStream<G: Generation> {
    channel: Channel,
    request: G,
    options: Defaults,
    /// Events before the first one asked for are not here: there is no whole answer to fold.
    whole: bool,
    fold: G::Fold,
    run: Option<Run>,
    step: Step<G::Event>,
    failure: Option<Error>,
}

/// What the calls of a stream have in common, from when it is first read.
struct Run {
    attempts: Attempts,
    deadline: Option<Instant>,
    expiry: Option<Pin<Box<Sleep>>>,
}

/// What a stream does.
enum Step<E> {
    /// The call for what follows the newest event is to be made.
    Idle,
    Calling(BoxFuture<Result<Streaming<E>, Error>>),
    Reading(Box<Streaming<E>>),
    Pausing(Pin<Box<Sleep>>),
    Ended,
}

impl Run {
    fn begin(options: Defaults, idempotency_key: &str) -> Self {
        let deadline = options.deadline();
        Self {
            attempts: Attempts::new(Repeat::named(idempotency_key), options.resume),
            deadline,
            expiry: deadline.map(|end| Box::pin(sleep_until(end))),
        }
    }

    fn has_expired(&mut self, cx: &mut Context<'_>) -> bool {
        self.expiry
            .as_mut()
            .is_some_and(|expiry| expiry.as_mut().poll(cx).is_ready())
    }
}

impl<G: Generation> AnswerStream<G> {
    pub(crate) fn new(channel: Channel, mut request: G, options: Defaults) -> Self {
        Self {
            channel,
            whole: *request.resume_after() == 0,
            request,
            options,
            fold: G::Fold::default(),
            run: None,
            step: Step::Idle,
            failure: None,
        }
    }

    /// The deadline of the whole stream, breaks included, instead of the client's; it runs from
    /// when the stream is first read. [`Duration::MAX`] is none.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// How a break is got over where there is an `idempotency_key`, instead of as the client does.
    pub fn resume(mut self, resume: Resume) -> Self {
        self.options.resume = resume;
        self
    }

    /// The place of the newest event in its generation, from 1. 0 before the first.
    #[must_use]
    pub fn sequence(&self) -> i32 {
        self.fold.sequence()
    }

    /// The next event. `None` after the last, and after an error.
    pub async fn next(&mut self) -> Option<Result<G::Event, Error>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// The pieces of one choice's or candidate's text, none of them empty, thoughts left out.
    ///
    /// It reads the stream's own events: what it has read, the stream does not give again.
    /// `index` counts from 0.
    pub fn text(&mut self, index: i32) -> Text<'_, G> {
        Text {
            stream: self,
            index,
        }
    }

    /// Reads to the end and returns the whole answer, events that were read before included.
    ///
    /// It fails as reading does, also where that has failed before, and with `FailedPrecondition`
    /// on a stream that was begun with `resume_after`, because its beginning is not here.
    pub async fn answer(&mut self) -> Result<G::Answer, Error> {
        if !self.whole {
            return Err(Error::local(
                Code::FailedPrecondition,
                "A stream that was begun with resume_after has no whole answer.",
            ));
        }
        while let Some(event) = self.next().await {
            event?;
        }
        match &self.failure {
            Some(failure) => Err(failure.clone()),
            None => Ok(self.fold.answer()),
        }
    }

    fn call(&self, deadline: Option<Instant>) -> Step<G::Event> {
        let channel = self.channel.clone();
        let mut request = self.request.clone();
        let after = request.resume_after();
        *after = self.fold.sequence().max(*after);
        Step::Calling(Box::pin(async move {
            channel.begin(G::method(), &request, deadline).await
        }))
    }

    /// What follows a stream that ended with `OK`.
    fn end(&mut self) -> Poll<Option<Result<G::Event, Error>>> {
        // A caller that has the last event asks for what follows it, which is nothing.
        let asked_for_nothing = !self.whole && self.fold.sequence() == 0;
        if self.fold.complete() || asked_for_nothing {
            self.step = Step::Ended;
            return Poll::Ready(None);
        }
        self.fail(Error::incomplete(G::Fold::LAST_EVENT))
    }

    fn fail(&mut self, failure: Error) -> Poll<Option<Result<G::Event, Error>>> {
        self.step = Step::Ended;
        self.failure = Some(failure.clone());
        Poll::Ready(Some(Err(failure)))
    }
}

impl<G: Generation> Stream for AnswerStream<G> {
    type Item = Result<G::Event, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            let run = this
                .run
                .get_or_insert_with(|| Run::begin(this.options, this.request.idempotency_key()));
            if !matches!(this.step, Step::Ended) && run.has_expired(cx) {
                return this.fail(Error::deadline_exceeded());
            }
            let failure = match &mut this.step {
                Step::Ended => return Poll::Ready(None),
                Step::Idle => {
                    let deadline = run.deadline;
                    this.step = this.call(deadline);
                    continue;
                }
                Step::Calling(call) => match ready!(call.as_mut().poll(cx)) {
                    Ok(events) => {
                        this.step = Step::Reading(Box::new(events));
                        continue;
                    }
                    Err(failure) => failure,
                },
                Step::Reading(events) => match ready!(Pin::new(events).poll_next(cx)) {
                    Some(Ok(event)) => {
                        run.attempts.begin_again();
                        this.fold.add(&event);
                        return Poll::Ready(Some(Ok(event)));
                    }
                    Some(Err(status)) => status.into(),
                    None => return this.end(),
                },
                Step::Pausing(pause) => {
                    ready!(pause.as_mut().poll(cx));
                    this.step = Step::Idle;
                    continue;
                }
            };
            if this.fold.complete() && broke(&failure) {
                // Nothing was lost but the word that all is well.
                this.step = Step::Ended;
                return Poll::Ready(None);
            }
            match run.attempts.pause_after(&failure, run.deadline) {
                Some(pause) if this.fold.resumable() => {
                    this.step = Step::Pausing(Box::pin(sleep(pause)));
                }
                _ => return this.fail(failure),
            }
        }
    }
}

impl<G: Generation> fmt::Debug for AnswerStream<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerStream")
            .field("options", &self.options)
            .field("sequence", &self.sequence())
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}

/// The text of a stream: a stream of its pieces, which [`next`](Self::next) reads without further
/// traits.
#[derive(Debug)]
#[must_use = "text comes when it is read"]
pub struct Text<'a, G: Generation> {
    stream: &'a mut AnswerStream<G>,
    index: i32,
}

impl<G: Generation> Text<'_, G> {
    /// The next piece. `None` after the last, and after an error.
    pub async fn next(&mut self) -> Option<Result<String, Error>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl<G: Generation> Stream for Text<'_, G> {
    type Item = Result<String, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match ready!(Pin::new(&mut *self.stream).poll_next(cx)) {
                Some(Ok(event)) => {
                    let piece = G::Fold::text(event, self.index);
                    if !piece.is_empty() {
                        return Poll::Ready(Some(Ok(piece)));
                    }
                }
                Some(Err(failure)) => return Poll::Ready(Some(Err(failure))),
                None => return Poll::Ready(None),
            }
        }
    }
}
