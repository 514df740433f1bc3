package dev.contextbridge.client;

import static dev.contextbridge.client.ContextBridgeExceptionTest.failure;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.rpc.RetryInfo;
import io.grpc.Deadline;
import io.grpc.Status;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.Test;

class AttemptsTest {
  private static final ContextBridgeException BREAK = failure(Status.Code.UNAVAILABLE);

  private final Attempts attempts = new Attempts(Resume.DEFAULT, "turn-1");

  @RepeatedTest(20)
  void pausesDoubleUpToTheirBoundAndAreNeverLessThanHalf() {
    Attempts many = new Attempts(new Resume(8, millis(100), millis(5000)), "turn-1");
    for (long longest : new long[] {100, 200, 400, 800, 1600, 3200, 5000, 5000}) {
      Duration pause = many.pauseAfter(BREAK, null).orElseThrow();
      assertTrue(pause.compareTo(millis(longest / 2)) >= 0, pause.toString());
      assertTrue(pause.compareTo(millis(longest)) <= 0, pause.toString());
    }
    assertEquals(Optional.empty(), many.pauseAfter(BREAK, null));
  }

  @Test
  void aNewEventBeginsTheCountAgain() {
    for (int attempt = 0; attempt < 5; attempt++) {
      assertTrue(attempts.pauseAfter(BREAK, null).isPresent());
    }
    attempts.beginAgain();
    assertTrue(attempts.pauseAfter(BREAK, null).orElseThrow().compareTo(millis(100)) <= 0);
  }

  @Test
  void thereIsNoPauseWithoutABreakWithoutANameAndWhenOff() {
    ContextBridgeException answer = failure(Status.Code.NOT_FOUND);
    assertEquals(Optional.empty(), attempts.pauseAfter(answer, null));
    assertEquals(Optional.empty(), new Attempts(Resume.DEFAULT, "").pauseAfter(BREAK, null));
    assertEquals(Optional.empty(), new Attempts(Resume.OFF, "turn-1").pauseAfter(BREAK, null));
  }

  @Test
  void theServerMayAskForMore() {
    RetryInfo info = RetryInfo.newBuilder().setRetryDelay(Times.of(millis(700))).build();
    ContextBridgeException busy = failure(Status.Code.UNAVAILABLE, info);
    assertEquals(Optional.of(millis(700)), attempts.pauseAfter(busy, null));
  }

  @Test
  void aPauseThatOutlastsTheDeadlineIsNotBegun() {
    Attempts slow = new Attempts(new Resume(5, Duration.ofMinutes(1), Duration.ofMinutes(1)), "x");
    assertEquals(Optional.empty(), slow.pauseAfter(BREAK, Deadline.after(10, TimeUnit.SECONDS)));
    assertTrue(slow.pauseAfter(BREAK, Deadline.after(1, TimeUnit.HOURS)).isPresent());
  }

  @Test
  void absurdNumbersDoNotOverflow() {
    Attempts endless =
        new Attempts(new Resume(Integer.MAX_VALUE, millis(1), Duration.ofDays(1)), "turn-1");
    for (int attempt = 0; attempt < 2000; attempt++) {
      Duration pause = endless.pauseAfter(BREAK, null).orElseThrow();
      assertTrue(pause.compareTo(Duration.ofDays(1)) <= 0, pause.toString());
    }
    assertThrows(IllegalArgumentException.class, () -> new Resume(-1, millis(1), millis(1)));
    assertThrows(IllegalArgumentException.class, () -> new Resume(1, millis(-1), millis(1)));
  }

  private static Duration millis(long millis) {
    return Duration.ofMillis(millis);
  }
}
