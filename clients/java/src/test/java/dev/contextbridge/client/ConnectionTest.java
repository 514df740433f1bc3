package dev.contextbridge.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.time.Duration;
import java.time.Instant;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class ConnectionTest {
  @ParameterizedTest
  @CsvSource({
    "127.0.0.1:50051, true",
    "127.1.2.3, true",
    "localhost:50051, true",
    "bridge.localhost:50051, true",
    "[::1]:50051, true",
    "::1, true",
    "dns:///localhost:50051, true",
    "dns:localhost:50051, true",
    "unix:/run/contextbridge.sock, true",
    "bridge.internal:443, false",
    "dns:///bridge.internal:443, false",
    "dns://127.0.0.1/bridge.internal:443, false",
    "localhost.evil.example:443, false",
    "127.0.0.1.evil.example:443, false",
    "127.0.0.256:443, false",
    "10.0.0.1:50051, false",
    "[2001:db8::1]:50051, false",
    "[127.0.0.1.evil.example:443, false",
    "'', false",
  })
  void onlyThisMachineIsLocal(String target, boolean isLocal) {
    assertEquals(isLocal, Connection.isLocal(target));
  }

  @Test
  void aSecretDoesNotGoInPlainTextToAnotherMachine() {
    ContextBridgeClient.Builder builder =
        ContextBridgeClient.builder().target("bridge.internal:443");
    builder.build().close();
    builder.token("t0p");
    IllegalArgumentException error = assertThrows(IllegalArgumentException.class, builder::build);
    assertFalse(error.getMessage().contains("t0p"));
    assertThrows(
        IllegalArgumentException.class,
        ContextBridgeClient.builder().target("bridge.internal:443").upstreamApiKey("k")::build);
  }

  @Test
  void aSecretGoesWithTlsOrInPlainTextWhereTheCallerInsists() {
    ContextBridgeClient.builder()
        .target("bridge.internal:443")
        .token("t0p")
        .tls(Tls.systemRoots().withServerName("bridge.example"))
        .build()
        .close();
    ContextBridgeClient.builder()
        .target("bridge.internal:443")
        .token("t0p")
        .insecureToken(true)
        .build()
        .close();
  }

  @ParameterizedTest
  @ValueSource(strings = {"t0p\n", "tøken"})
  void aSecretThatMetadataCannotHoldIsRefusedAndNotShown(String secret) {
    IllegalArgumentException error =
        assertThrows(
            IllegalArgumentException.class, () -> ContextBridgeClient.builder().token(secret));
    assertFalse(error.getMessage().contains(secret.strip()));
  }

  @Test
  void pemThatCannotBeReadIsRefused() {
    ContextBridgeClient.Builder builder =
        ContextBridgeClient.builder().tls(Tls.trusting("no certificate".getBytes()));
    assertThrows(IllegalArgumentException.class, builder::build);
  }

  @Test
  void timesGoToMessagesAndBack() {
    for (Duration duration :
        new Duration[] {Duration.ZERO, Duration.ofMillis(1500), Duration.ofMillis(-1500)}) {
      assertEquals(duration, Times.of(Times.of(duration)));
    }
    assertEquals(-500_000_000, Times.of(Duration.ofMillis(-1500)).getNanos());
    Instant instant = Instant.parse("2026-01-02T03:04:05.678Z");
    assertEquals(instant, Times.of(Times.of(instant)));
  }
}
