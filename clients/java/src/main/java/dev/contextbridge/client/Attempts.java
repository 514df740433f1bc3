package dev.contextbridge.client;

import io.grpc.Deadline;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;

/**
 * The tries of one call. One without an {@code idempotency_key} has no second: nothing is kept of
 * it.
 */
final class Attempts {
  private static final double NANOS = 1e9;

  private final Resume resume;
  private int used;

  Attempts(Resume resume, String idempotencyKey) {
    this.resume = idempotencyKey.isEmpty() ? Resume.OFF : resume;
  }

  /** Takes note of a new event. */
  void beginAgain() {
    used = 0;
  }

  /**
   * How long to wait before the next try. Empty where there is none: the failure stands.
   *
   * @param failure what ended the try before
   * @param deadline the call's, or null
   */
  Optional<Duration> pauseAfter(ContextBridgeException failure, Deadline deadline) {
    if (!failure.isBreak() || used >= resume.attempts()) {
      return Optional.empty();
    }
    used += 1;
    Duration backoff = backoff();
    Duration pause = failure.retryDelay().filter(it -> it.compareTo(backoff) > 0).orElse(backoff);
    boolean inTime =
        deadline == null || nanos(pause) < deadline.timeRemaining(TimeUnit.NANOSECONDS);
    return Optional.of(pause).filter(it -> inTime);
  }

  private Duration backoff() {
    // Doubling is done in floats, which an absurd number of attempts does not overflow.
    double longest = nanos(resume.maxBackoff());
    double grown = nanos(resume.initialBackoff()) * Math.pow(2, used - 1);
    double part = ThreadLocalRandom.current().nextDouble(0.5, 1);
    return Duration.ofNanos((long) (Math.min(grown, longest) * part));
  }

  private static double nanos(Duration duration) {
    return duration.getSeconds() * NANOS + duration.getNano();
  }
}
