//! The one error that calls fail with, and how it is read from a status.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tonic::{Code, Status, TimeoutExpired};
use tonic_types::StatusExt;

use crate::v1::ErrorReason;

/// A call failed. Branch on [`reason`](Self::reason), [`is`](Self::is) or [`code`](Self::code);
/// the message is for people.
///
/// It is small and cheap to clone. What is read with a raw stub fails with a [`tonic::Status`],
/// which `Error::from` reads.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

struct Inner {
    code: Code,
    message: String,
    status: Status,
    reason: String,
    metadata: HashMap<String, String>,
    violations: Vec<Violation>,
    retry_delay: Option<Duration>,
    request_id: String,
}

/// A field of the request that the server refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field's path, such as `messages[0].role`.
    pub field: String,
    /// What is wrong with it, for people.
    pub description: String,
}

impl Error {
    /// The gRPC code. A lost connection is `Unavailable`, and so is one that could not be made.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The code by gRPC's name for it, such as `NOT_FOUND`.
    #[must_use]
    pub fn code_name(&self) -> &'static str {
        match self.code() {
            Code::Ok => "OK",
            Code::Cancelled => "CANCELLED",
            Code::Unknown => "UNKNOWN",
            Code::InvalidArgument => "INVALID_ARGUMENT",
            Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Code::NotFound => "NOT_FOUND",
            Code::AlreadyExists => "ALREADY_EXISTS",
            Code::PermissionDenied => "PERMISSION_DENIED",
            Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Code::FailedPrecondition => "FAILED_PRECONDITION",
            Code::Aborted => "ABORTED",
            Code::OutOfRange => "OUT_OF_RANGE",
            Code::Unimplemented => "UNIMPLEMENTED",
            Code::Internal => "INTERNAL",
            Code::Unavailable => "UNAVAILABLE",
            Code::DataLoss => "DATA_LOSS",
            Code::Unauthenticated => "UNAUTHENTICATED",
        }
    }

    /// The [`ErrorReason`] by its full name, such as `ERROR_REASON_CONTEXT_BUSY`. Empty where the
    /// failure is not the server's: the connection's, a proxy's, or the caller's own deadline.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    /// Whether the server gave this reason.
    #[must_use]
    pub fn is(&self, reason: ErrorReason) -> bool {
        self.reason() == reason.as_str_name()
    }

    /// What happened, for people. Its wording may change.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What is variable in the message: `requestId`, `httpStatus`, `upstreamCode` and so on.
    #[must_use]
    pub fn metadata(&self) -> &HashMap<String, String> {
        &self.0.metadata
    }

    /// Every field that was refused, with `ERROR_REASON_REQUEST_INVALID`.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.0.violations
    }

    /// How long to wait before a retry. `None` where a retry does not help, or nothing is known.
    #[must_use]
    pub fn retry_delay(&self) -> Option<Duration> {
        self.0.retry_delay
    }

    /// The id under which the server's log has the call. Empty where it is not known.
    #[must_use]
    pub fn request_id(&self) -> &str {
        &self.0.request_id
    }

    /// What upstream said, in its own words. Empty where it said nothing.
    #[must_use]
    pub fn upstream_message(&self) -> &str {
        self.metadata()
            .get("upstreamMessage")
            .map_or("", String::as_str)
    }

    /// A failure on this side of the wire.
    pub(crate) fn local(code: Code, message: impl Into<String>) -> Self {
        Self::from(Status::new(code, message))
    }

    /// What a caller asked for cannot be done, and why.
    pub(crate) fn unusable(
        what: impl fmt::Display,
        why: impl StdError + Send + Sync + 'static,
    ) -> Self {
        let mut status = Status::invalid_argument(what.to_string());
        status.set_source(Arc::new(why));
        Self::read(Code::InvalidArgument, status)
    }

    /// The call's deadline passed on this side.
    pub(crate) fn deadline_exceeded() -> Self {
        Self::local(Code::DeadlineExceeded, "The call's deadline has passed.")
    }

    /// A stream ended with OK and without its last event.
    pub(crate) fn incomplete(last_event: &str) -> Self {
        Self::local(
            Code::DataLoss,
            format!("The stream ended without {last_event}: the answer is not whole."),
        )
    }

    fn read(code: Code, status: Status) -> Self {
        let message = message_of(&status);
        let info = status.get_details_error_info();
        let (reason, metadata) = info.map_or_else(Default::default, |i| (i.reason, i.metadata));
        let request_id = status
            .get_details_request_info()
            .map(|request| request.request_id)
            .filter(|id| !id.is_empty())
            .or_else(|| metadata.get("requestId").cloned())
            .unwrap_or_default();
        let violations = status
            .get_details_bad_request()
            .into_iter()
            .flat_map(|refused| refused.field_violations)
            .map(|violation| Violation {
                field: violation.field,
                description: violation.description,
            })
            .collect();
        let retry_delay = status
            .get_details_retry_info()
            .and_then(|retry| retry.retry_delay);
        Self(Arc::new(Inner {
            code,
            message,
            status,
            reason,
            metadata,
            violations,
            retry_delay,
            request_id,
        }))
    }
}

impl From<Status> for Error {
    /// Reads a status. Details that are missing or cannot be read are left out.
    fn from(status: Status) -> Self {
        Self::read(code_of(&status), status)
    }
}

/// The code of a status. One that tonic made of a transport's failure has that as its source, and
/// a code that depends on where in HTTP/2 the failure was met.
fn code_of(status: &Status) -> Code {
    if status.source().is_none() {
        return status.code();
    }
    causes(status)
        .find_map(|cause| {
            if cause.is::<TimeoutExpired>() {
                return Some(Code::DeadlineExceeded);
            }
            let http2 = cause.downcast_ref::<h2::Error>()?;
            (http2.is_reset() && http2.is_remote()).then(|| code_of_reset(http2.reason()))
        })
        .unwrap_or(Code::Unavailable)
}

/// What led to a status that a transport's failure became, the root last.
pub(crate) fn causes(status: &Status) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(status.source(), |&cause| cause.source())
}

/// The message of a status. That of a transport's failure says little without its root.
fn message_of(status: &Status) -> String {
    match causes(status).last().map(ToString::to_string) {
        Some(root) if !status.message().contains(&root) => format!("{}: {root}", status.message()),
        _ => status.message().to_owned(),
    }
}

/// What a stream means that the server's side has reset, by gRPC's protocol.
fn code_of_reset(reason: Option<h2::Reason>) -> Code {
    match reason {
        Some(h2::Reason::REFUSED_STREAM) => Code::Unavailable,
        Some(h2::Reason::CANCEL) => Code::Cancelled,
        Some(h2::Reason::ENHANCE_YOUR_CALM) => Code::ResourceExhausted,
        Some(h2::Reason::INADEQUATE_SECURITY) => Code::PermissionDenied,
        _ => Code::Internal,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason() {
            "" => write!(f, "{}: {}", self.code_name(), self.message())?,
            reason => write!(f, "{reason}: {}", self.message())?,
        }
        for Violation { field, description } in self.violations() {
            write!(f, "; {field}: {description}")?;
        }
        match self.request_id() {
            "" => Ok(()),
            id => write!(f, " (request id {id})"),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("code", &self.code())
            .field("reason", &self.reason())
            .field("message", &self.message())
            .field("metadata", &self.metadata())
            .field("violations", &self.violations())
            .field("retry_delay", &self.retry_delay())
            .field("request_id", &self.request_id())
            .field("source", &self.source())
            .finish()
    }
}

impl StdError for Error {
    /// What the transport met, where the failure is its.
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.status.source()
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use tonic_types::{ErrorDetails, pb};

    use super::*;

    #[test]
    fn everything_that_a_status_says_is_read() {
        let mut details = ErrorDetails::new();
        let said = [("requestId", "r-1"), ("upstreamMessage", "slow down")];
        let said = said.map(|(name, value)| (name.to_owned(), value.to_owned()));
        details
            .set_error_info("ERROR_REASON_REQUEST_INVALID", "contextbridge.dev", said)
            .set_retry_info(Some(Duration::from_millis(1500)))
            .set_request_info("r-2", "")
            .add_bad_request_violation("model", "is empty")
            .add_bad_request_violation("n", "is 0");
        let status = Status::with_error_details(Code::InvalidArgument, "2 fields", details);

        let error = Error::from(status);

        assert_eq!(error.code(), Code::InvalidArgument);
        assert_eq!(error.code_name(), "INVALID_ARGUMENT");
        assert!(error.is(ErrorReason::RequestInvalid));
        assert_eq!(error.message(), "2 fields");
        assert_eq!(error.upstream_message(), "slow down");
        assert_eq!(error.retry_delay(), Some(Duration::from_millis(1500)));
        assert_eq!(error.request_id(), "r-2");
        assert_eq!(
            error.to_string(),
            "ERROR_REASON_REQUEST_INVALID: 2 fields; model: is empty; n: is 0 (request id r-2)"
        );
    }

    #[test]
    fn the_request_id_may_be_in_the_metadata_alone() {
        let mut details = ErrorDetails::new();
        let said = [("requestId".to_owned(), "r-1".to_owned())];
        details.set_error_info("ERROR_REASON_INTERNAL", "contextbridge.dev", said);
        let error = Error::from(Status::with_error_details(Code::Internal, "", details));
        assert_eq!(error.request_id(), "r-1");
    }

    #[test]
    fn what_is_missing_is_empty() {
        let error = Error::from(Status::not_found("gone"));
        assert_eq!(error.reason(), "");
        assert!(error.metadata().is_empty());
        assert_eq!(error.retry_delay(), None);
        assert_eq!(error.upstream_message(), "");
        assert_eq!(error.to_string(), "NOT_FOUND: gone");
    }

    #[test]
    fn details_that_cannot_be_read_are_left_out() {
        let any = |name: &str, value: &[u8]| prost_types::Any {
            type_url: format!("type.googleapis.com/google.rpc.{name}"),
            value: value.to_vec(),
        };
        let info = pb::ErrorInfo {
            reason: "ERROR_REASON_INTERNAL".into(),
            ..pb::ErrorInfo::default()
        };
        let details = pb::Status {
            details: vec![
                any("RetryInfo", b"\xff"),
                any("Unheard", b"\x01"),
                any("ErrorInfo", &info.encode_to_vec()),
            ],
            ..pb::Status::default()
        };
        let read = |details: Vec<u8>| {
            Error::from(Status::with_details(Code::Internal, "", details.into()))
        };

        let error = read(details.encode_to_vec());
        assert!(error.is(ErrorReason::Internal));
        assert_eq!(error.retry_delay(), None);
        assert_eq!(read(b"\xff".to_vec()).reason(), "");
    }

    #[test]
    fn a_transports_failure_is_unavailable_and_says_why() {
        let with_source = |code, source: Arc<dyn StdError + Send + Sync>| {
            let mut status = Status::new(code, "transport error");
            status.set_source(source);
            Error::from(status)
        };
        let lost = Arc::new(std::io::Error::other("broken pipe"));
        let error = with_source(Code::Unknown, lost);
        assert_eq!(error.code(), Code::Unavailable);
        assert_eq!(error.message(), "transport error: broken pipe");

        let expired = with_source(Code::Cancelled, Arc::new(TimeoutExpired(())));
        assert_eq!(expired.code(), Code::DeadlineExceeded);
    }

    #[test]
    fn an_error_is_small() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }
}
