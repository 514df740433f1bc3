package dev.contextbridge.client;

import java.time.Duration;

/**
 * How a broken call with an {@code idempotency_key} is taken up again, within its deadline.
 *
 * @param attempts how often in a row without a new event; 0 never resumes
 * @param initialBackoff the longest wait before the first attempt; it doubles with each, and at
 *     least half of it is waited, longer where the server asks for that
 * @param maxBackoff where it stops doubling
 */
public record Resume(int attempts, Duration initialBackoff, Duration maxBackoff) {
  /** Five attempts, after 0.1 seconds, doubling to 5. */
  public static final Resume DEFAULT = new Resume(5, Duration.ofMillis(100), Duration.ofSeconds(5));

  /** Leaves it to the caller. */
  public static final Resume OFF = new Resume(0, Duration.ZERO, Duration.ZERO);

  /**
   * A way to resume.
   *
   * @param attempts how often in a row without a new event; 0 never resumes
   * @param initialBackoff the longest wait before the first attempt
   * @param maxBackoff where it stops doubling
   * @throws IllegalArgumentException for a negative number
   */
  public Resume {
    if (attempts < 0 || initialBackoff.isNegative() || maxBackoff.isNegative()) {
      throw new IllegalArgumentException("attempts and back-offs are 0 or more");
    }
  }
}
