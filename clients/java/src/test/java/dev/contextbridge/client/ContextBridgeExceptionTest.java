package dev.contextbridge.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.protobuf.Message;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RequestInfo;
import com.google.rpc.RetryInfo;
import dev.contextbridge.v1.ErrorReason;
import io.grpc.Metadata;
import io.grpc.Status;
import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ContextBridgeExceptionTest {
  private static final Metadata.Key<byte[]> DETAILS =
      Metadata.Key.of("grpc-status-details-bin", Metadata.BINARY_BYTE_MARSHALLER);

  static ContextBridgeException failure(Status.Code code, Message... details) {
    com.google.rpc.Status.Builder status = com.google.rpc.Status.newBuilder();
    for (Message detail : details) {
      status.addDetails(Any.pack(detail));
    }
    return failure(code, status.build().toByteArray());
  }

  private static ContextBridgeException failure(Status.Code code, byte[] details) {
    Metadata trailers = new Metadata();
    trailers.put(DETAILS, details);
    return ContextBridgeException.from(
        code.toStatus().withDescription("It said no.").asRuntimeException(trailers));
  }

  static ErrorInfo reason(String reason) {
    return ErrorInfo.newBuilder().setReason(reason).build();
  }

  @Test
  void everythingThatAStatusSaysIsRead() {
    ContextBridgeException error =
        failure(
            Status.Code.INVALID_ARGUMENT,
            ErrorInfo.newBuilder()
                .setReason("ERROR_REASON_REQUEST_INVALID")
                .putMetadata("upstreamMessage", "灯台")
                .build(),
            BadRequest.newBuilder()
                .addFieldViolations(
                    BadRequest.FieldViolation.newBuilder()
                        .setField("model")
                        .setDescription("is required"))
                .build(),
            RetryInfo.newBuilder().setRetryDelay(Times.of(Duration.ofMillis(1500))).build(),
            RequestInfo.newBuilder().setRequestId("r-1").build());

    assertEquals(Status.Code.INVALID_ARGUMENT, error.code());
    assertEquals("It said no.", error.message());
    assertEquals("ERROR_REASON_REQUEST_INVALID", error.reason());
    assertTrue(error.is(ErrorReason.ERROR_REASON_REQUEST_INVALID));
    assertEquals(Map.of("upstreamMessage", "灯台"), error.metadata());
    assertEquals("灯台", error.upstreamMessage());
    assertEquals(
        List.of(new ContextBridgeException.Violation("model", "is required")), error.violations());
    assertEquals(Optional.of(Duration.ofMillis(1500)), error.retryDelay());
    assertEquals("r-1", error.requestId());
    assertEquals(
        "ERROR_REASON_REQUEST_INVALID: It said no.; model: is required (request id r-1)",
        error.getMessage());
    assertSame(error, ContextBridgeException.from(error));
  }

  @Test
  void detailsThatCannotBeReadAreLeftOut() {
    Any broken =
        Any.newBuilder()
            .setTypeUrl("type.googleapis.com/google.rpc.RetryInfo")
            .setValue(ByteString.copyFromUtf8("\u0001"))
            .build();
    com.google.rpc.Status status =
        com.google.rpc.Status.newBuilder()
            .addDetails(broken)
            .addDetails(Any.pack(reason("ERROR_REASON_INTERNAL")))
            .build();

    ContextBridgeException one = failure(Status.Code.INTERNAL, status.toByteArray());
    assertEquals("ERROR_REASON_INTERNAL", one.reason());
    assertEquals(Optional.empty(), one.retryDelay());

    ContextBridgeException all = failure(Status.Code.INTERNAL, new byte[] {1});
    assertEquals("", all.reason());
    assertEquals("INTERNAL: It said no.", all.getMessage());
  }

  @Test
  void theRequestIdMayBeInTheMetadata() {
    ContextBridgeException error =
        failure(
            Status.Code.NOT_FOUND,
            ErrorInfo.newBuilder().setReason("R").putMetadata("requestId", "r-2").build());
    assertEquals("r-2", error.requestId());
  }

  @Test
  void whatIsNoStatusIsUnknown() {
    ContextBridgeException error =
        ContextBridgeException.from(
            Status.UNAVAILABLE
                .withDescription("io exception")
                .withCause(new IOException("Connection refused"))
                .asRuntimeException());
    assertEquals("io exception: Connection refused", error.message());
    assertEquals(Map.of(), error.metadata());
    assertEquals(Status.Code.UNKNOWN, ContextBridgeException.from(new IOException("Disk")).code());
  }

  @ParameterizedTest
  @CsvSource({
    "UNAVAILABLE, '', true",
    "CANCELLED, '', true",
    "INTERNAL, '', true",
    "UNKNOWN, '', true",
    "DEADLINE_EXCEEDED, '', false",
    "DATA_LOSS, '', false",
    "ABORTED, '', false",
    "RESOURCE_EXHAUSTED, '', false",
    "UNAVAILABLE, ERROR_REASON_STORE_UNAVAILABLE, true",
    "RESOURCE_EXHAUSTED, ERROR_REASON_OVERLOADED, true",
    "UNAVAILABLE, ERROR_REASON_UPSTREAM_UNAVAILABLE, false",
    "CANCELLED, ERROR_REASON_UPSTREAM_CANCELLED, false",
    "ABORTED, ERROR_REASON_GENERATION_ABANDONED, false",
    "UNAVAILABLE, ERROR_REASON_OF_TOMORROW, false",
  })
  void onlyWhatLeavesTheGenerationAsItWasIsABreak(Status.Code code, String reason, boolean breaks) {
    assertEquals(breaks, failure(code, reason(reason)).isBreak());
  }

  @Test
  void failuresOfTheClientsOwnHaveNoReason() {
    ContextBridgeException error = ContextBridgeException.incomplete("`completed`");
    assertEquals(Status.Code.DATA_LOSS, error.code());
    assertFalse(error.is(ErrorReason.ERROR_REASON_INTERNAL));
  }
}
