package dev.contextbridge.client;

import com.google.protobuf.Timestamp;
import java.time.Duration;
import java.time.Instant;

/** Spans and points in time as messages have them, made from Java's. */
public final class Times {
  private Times() {}

  /**
   * A span of time for a message.
   *
   * @param duration the span; messages hold at most 10,000 years
   * @return the same span
   */
  public static com.google.protobuf.Duration of(Duration duration) {
    // Protobuf wants the parts of a negative span to have the same sign; Java's nanos have none.
    boolean borrows = duration.isNegative() && duration.getNano() > 0;
    return com.google.protobuf.Duration.newBuilder()
        .setSeconds(duration.getSeconds() + (borrows ? 1 : 0))
        .setNanos(duration.getNano() - (borrows ? 1_000_000_000 : 0))
        .build();
  }

  /**
   * A span of time of a message.
   *
   * @param duration the span
   * @return the same span
   */
  public static Duration of(com.google.protobuf.Duration duration) {
    return Duration.ofSeconds(duration.getSeconds(), duration.getNanos());
  }

  /**
   * A point in time for a message.
   *
   * @param instant the point
   * @return the same point
   */
  public static Timestamp of(Instant instant) {
    return Timestamp.newBuilder()
        .setSeconds(instant.getEpochSecond())
        .setNanos(instant.getNano())
        .build();
  }

  /**
   * A point in time of a message.
   *
   * @param timestamp the point
   * @return the same point
   */
  public static Instant of(Timestamp timestamp) {
    return Instant.ofEpochSecond(timestamp.getSeconds(), timestamp.getNanos());
  }
}
