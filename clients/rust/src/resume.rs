//! Which failures a call gets over, and how long it waits before it tries again.
//!
//! A call with an `idempotency_key` names its generation: sent again, it takes the same one up and is
//! paid once. A call without one is never sent again, because the server keeps nothing of it.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Code;

use crate::Error;
use crate::v1::ErrorReason;

/// How a broken call with an `idempotency_key` is taken up again, within its deadline.
///
/// A try is made after at least half of the back-off, and not before the server asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume {
    /// How often in a row without a new event. 0 never resumes.
    pub attempts: u32,
    /// The longest wait before the first attempt; it doubles with each.
    pub initial_backoff: Duration,
    /// Where it stops doubling.
    pub max_backoff: Duration,
}

impl Resume {
    /// Never resumes: every break is the caller's.
    pub const OFF: Self = Self {
        attempts: 0,
        initial_backoff: Duration::ZERO,
        max_backoff: Duration::ZERO,
    };

    /// Reads cost nothing, and are sent again as a gRPC channel would.
    const READS: Self = Self {
        attempts: 3,
        initial_backoff: Duration::from_millis(200),
        max_backoff: Duration::from_secs(3),
    };
}

impl Default for Resume {
    /// 5 attempts, after 0.1 s, doubling to 5 s.
    fn default() -> Self {
        Self {
            attempts: 5,
            initial_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(5),
        }
    }
}

/// Whether a failure left the generation as it was: the way to the server broke, or it was busy.
///
/// The caller's own deadline is none, nor is what upstream said: that is the answer.
pub(crate) fn broke(failure: &Error) -> bool {
    if failure.reason().is_empty() {
        matches!(
            failure.code(),
            Code::Unavailable | Code::Cancelled | Code::Internal | Code::Unknown
        )
    } else {
        failure.is(ErrorReason::StoreUnavailable) || failure.is(ErrorReason::Overloaded)
    }
}

/// Why a call may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It costs nothing.
    Read,
    /// It has an `idempotency_key`, and is paid once.
    Named,
    /// It may not.
    Never,
}

impl Repeat {
    /// Of a call with this `idempotency_key`.
    pub(crate) fn named(idempotency_key: &str) -> Self {
        if idempotency_key.is_empty() {
            Self::Never
        } else {
            Self::Named
        }
    }
}

/// The tries of one call.
pub(crate) struct Attempts {
    repeat: Repeat,
    policy: Resume,
    used: u32,
}

impl Attempts {
    pub(crate) fn new(repeat: Repeat, resume: Resume) -> Self {
        let policy = match repeat {
            Repeat::Read => Resume::READS,
            Repeat::Named => resume,
            Repeat::Never => Resume::OFF,
        };
        Self {
            repeat,
            policy,
            used: 0,
        }
    }

    /// Takes note of a new event.
    pub(crate) fn begin_again(&mut self) {
        self.used = 0;
    }

    /// The wait before the next try. `None` where there is none: the failure stands.
    pub(crate) fn pause_after(
        &mut self,
        failure: &Error,
        deadline: Option<Instant>,
    ) -> Option<Duration> {
        let passing = match self.repeat {
            Repeat::Read => failure.code() == Code::Unavailable,
            Repeat::Named | Repeat::Never => broke(failure),
        };
        if !passing || self.used >= self.policy.attempts {
            return None;
        }
        self.used += 1;
        let mut pause = self.backoff();
        if self.repeat == Repeat::Named {
            pause = pause.max(failure.retry_delay().unwrap_or_default());
        }
        // A try that could only begin after the deadline would hide the failure behind it.
        let in_time = deadline.is_none_or(|end| pause < end - Instant::now());
        in_time.then_some(pause)
    }

    fn backoff(&self) -> Duration {
        let doubled = 2_u32.saturating_pow(self.used - 1);
        let longest = self.policy.initial_backoff.saturating_mul(doubled);
        let longest = longest.min(self.policy.max_backoff);
        longest.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use tonic::Status;
    use tonic_types::{ErrorDetails, StatusExt};

    use super::*;

    fn failure(code: Code, reason: &str) -> Error {
        let mut details = ErrorDetails::new();
        if !reason.is_empty() {
            details.set_error_info(reason, "contextbridge.dev", []);
        }
        Status::with_error_details(code, "", details).into()
    }

    #[test]
    fn what_breaks_is_the_way_or_the_moment() {
        let cases = [
            (Code::Unavailable, "", true),
            (Code::Cancelled, "", true),
            (Code::Internal, "", true),
            (Code::Unknown, "", true),
            (Code::DeadlineExceeded, "", false),
            (Code::DataLoss, "", false),
            (Code::ResourceExhausted, "", false),
            (Code::Unavailable, "ERROR_REASON_STORE_UNAVAILABLE", true),
            (Code::ResourceExhausted, "ERROR_REASON_OVERLOADED", true),
            (
                Code::Unavailable,
                "ERROR_REASON_UPSTREAM_UNAVAILABLE",
                false,
            ),
            (Code::Internal, "ERROR_REASON_INTERNAL", false),
            (Code::Unavailable, "ERROR_REASON_OF_ANOTHER_VERSION", false),
        ];
        for (code, reason, expected) in cases {
            assert_eq!(broke(&failure(code, reason)), expected, "{code:?} {reason}");
        }
    }

    #[test]
    fn a_back_off_doubles_to_its_bound_and_is_at_least_half_of_it() {
        let lost = failure(Code::Unavailable, "");
        let resume = Resume {
            attempts: 100,
            ..Resume::default()
        };
        let mut attempts = Attempts::new(Repeat::Named, resume);
        let longest = [100, 200, 400, 800, 1600, 3200].into_iter();
        for longest in longest.chain([5000; 94]).map(Duration::from_millis) {
            let pause = attempts.pause_after(&lost, None).unwrap();
            assert!(longest / 2 <= pause && pause <= longest, "{pause:?}");
        }
        assert_eq!(attempts.pause_after(&lost, None), None);

        attempts.begin_again();
        let pause = attempts.pause_after(&lost, None).unwrap();
        assert!(pause <= Duration::from_millis(100));
    }

    #[test]
    fn a_pause_lasts_as_long_as_the_server_asks() {
        let mut details = ErrorDetails::new();
        details.set_error_info("ERROR_REASON_OVERLOADED", "contextbridge.dev", []);
        details.set_retry_info(Some(Duration::from_secs(60)));
        let busy = Status::with_error_details(Code::ResourceExhausted, "", details).into();
        let mut attempts = Attempts::new(Repeat::Named, Resume::default());

        let pause = attempts.pause_after(&busy, None);
        assert_eq!(pause, Some(Duration::from_secs(60)));
        let soon = Instant::now() + Duration::from_secs(59);
        assert_eq!(attempts.pause_after(&busy, Some(soon)), None);
    }

    #[test]
    fn reads_get_over_whatever_is_unavailable_and_nothing_else() {
        let mut attempts = Attempts::new(Repeat::Read, Resume::OFF);
        let away = failure(Code::Unavailable, "ERROR_REASON_UPSTREAM_UNAVAILABLE");
        assert!(attempts.pause_after(&away, None).is_some());
        let lost = failure(Code::Internal, "");
        assert_eq!(attempts.pause_after(&lost, None), None);
    }

    #[test]
    fn a_call_without_a_name_has_one_try() {
        let lost = failure(Code::Unavailable, "");
        let mut attempts = Attempts::new(Repeat::named(""), Resume::default());
        assert_eq!(attempts.pause_after(&lost, None), None);
    }
}
