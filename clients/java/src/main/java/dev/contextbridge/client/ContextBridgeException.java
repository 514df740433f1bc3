package dev.contextbridge.client;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RequestInfo;
import com.google.rpc.RetryInfo;
import dev.contextbridge.v1.ErrorReason;
import io.grpc.Metadata;
import io.grpc.Status;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * A call failed. Branch on {@link #reason()}, or on {@link #code()}; {@link #message()} is for
 * people.
 *
 * <p>gRPC's own exception is the cause, where there was one.
 *
 * @serial exclude
 */
@SuppressWarnings("serial") // gRPC's exceptions, its causes, cannot be serialized either.
public final class ContextBridgeException extends RuntimeException {
  private static final Metadata.Key<byte[]> DETAILS =
      Metadata.Key.of("grpc-status-details-bin", Metadata.BINARY_BYTE_MARSHALLER);

  /** What a lost connection, a proxy, or a server that stops ends a call with, giving no reason. */
  private static final Set<Status.Code> OF_THE_WAY =
      Set.of(
          Status.Code.UNAVAILABLE,
          Status.Code.CANCELLED,
          Status.Code.INTERNAL,
          Status.Code.UNKNOWN);

  /** Reasons of the server's own that leave the generation as it is. */
  private static final Set<String> OF_THE_MOMENT =
      Set.of(
          ErrorReason.ERROR_REASON_STORE_UNAVAILABLE.name(),
          ErrorReason.ERROR_REASON_OVERLOADED.name());

  private final Status.Code code;
  private final String message;
  private final Details details;

  /**
   * A field of the request that the server refused.
   *
   * @param field the field's path, such as {@code messages[0].role}
   * @param description what is wrong with it, for people
   */
  public record Violation(String field, String description) {}

  private ContextBridgeException(
      Status.Code code, String message, Details details, Throwable cause) {
    super(summary(code, message, details), cause);
    this.code = code;
    this.message = message;
    this.details = details;
  }

  /**
   * Reads a failure of gRPC's. The client does it by itself; calls on stubs of your own need it.
   *
   * <p>Details that are missing or cannot be read are left out; this never throws.
   *
   * @param failure what a stub threw, usually a {@link io.grpc.StatusRuntimeException}
   * @return the failure as this client tells it
   */
  public static ContextBridgeException from(Throwable failure) {
    if (failure instanceof ContextBridgeException known) {
      return known;
    }
    Status status = Status.fromThrowable(failure);
    Metadata trailers = Status.trailersFromThrowable(failure);
    return new ContextBridgeException(
        status.getCode(), message(status), Details.read(trailers), failure);
  }

  /** The failure of a stream that ended with OK and without its last event. */
  static ContextBridgeException incomplete(String missing) {
    return new ContextBridgeException(
        Status.Code.DATA_LOSS,
        "The stream ended without " + missing + ": the answer is not whole.",
        Details.NONE,
        null);
  }

  /** The failure of a stream that is read after it was cancelled. */
  static ContextBridgeException cancelled() {
    return new ContextBridgeException(
        Status.Code.CANCELLED, "The stream was cancelled.", Details.NONE, null);
  }

  /** The failure of a call whose thread was interrupted. */
  static ContextBridgeException interrupted(InterruptedException cause) {
    return new ContextBridgeException(
        Status.Code.CANCELLED, "The thread was interrupted.", Details.NONE, cause);
  }

  /**
   * The gRPC status.
   *
   * @return its code
   */
  public Status.Code code() {
    return code;
  }

  /**
   * The {@link ErrorReason} by its full name, such as {@code ERROR_REASON_CONTEXT_BUSY}.
   *
   * @return the reason; empty where the status came without one: from gRPC itself, or from a proxy
   */
  public String reason() {
    return details.reason;
  }

  /**
   * Whether the call failed for this reason.
   *
   * @param reason a reason that this version of the client knows
   * @return whether it is the one
   */
  public boolean is(ErrorReason reason) {
    return details.reason.equals(reason.name());
  }

  /**
   * What happened, for people. Its wording may change. {@link #getMessage()} says the rest, too.
   *
   * @return the text
   */
  public String message() {
    return message;
  }

  /**
   * What is variable in the message: {@code requestId}, {@code httpStatus}, {@code upstreamCode}
   * and so on.
   *
   * @return the values by their keys
   */
  public Map<String, String> metadata() {
    return details.metadata;
  }

  /**
   * Every field that was refused, with {@code ERROR_REASON_REQUEST_INVALID}.
   *
   * @return the violations
   */
  public List<Violation> violations() {
    return details.violations;
  }

  /**
   * How long to wait before a retry.
   *
   * @return the time; empty where a retry does not help, or nothing is known
   */
  public Optional<Duration> retryDelay() {
    return Optional.ofNullable(details.retryDelay);
  }

  /**
   * The id under which the server's log has the call.
   *
   * @return the id; empty where it is not known
   */
  public String requestId() {
    return details.requestId;
  }

  /**
   * What upstream said, in its own words.
   *
   * @return the text; empty where it said nothing
   */
  public String upstreamMessage() {
    return details.metadata.getOrDefault("upstreamMessage", "");
  }

  /**
   * Whether it left the generation as it was: the way to the server broke, or the server was busy.
   *
   * <p>The caller's own deadline is none, nor is what upstream said: that is the answer.
   */
  boolean isBreak() {
    return details.reason.isEmpty()
        ? OF_THE_WAY.contains(code)
        : OF_THE_MOMENT.contains(details.reason);
  }

  private static String message(Status status) {
    String description = status.getDescription() == null ? "" : status.getDescription();
    // Of a connection that fails gRPC says "io exception", and the cause says which.
    return status.getCause() == null || status.getCause().getMessage() == null
        ? description
        : description + ": " + status.getCause().getMessage();
  }

  private static String summary(Status.Code code, String message, Details details) {
    StringBuilder text = new StringBuilder(details.reason.isEmpty() ? code.name() : details.reason);
    text.append(": ").append(message);
    for (Violation violation : details.violations) {
      text.append("; ").append(violation.field()).append(": ").append(violation.description());
    }
    if (!details.requestId.isEmpty()) {
      text.append(" (request id ").append(details.requestId).append(')');
    }
    return text.toString();
  }

  /** What a status says besides its code and message. */
  private record Details(
      String reason,
      Map<String, String> metadata,
      List<Violation> violations,
      Duration retryDelay,
      String requestId) {

    static final Details NONE = new Details("", Map.of(), List.of(), null, "");

    static Details read(Metadata trailers) {
      byte[] bytes = trailers == null ? null : trailers.get(DETAILS);
      if (bytes == null) {
        return NONE;
      }
      ErrorInfo info = ErrorInfo.getDefaultInstance();
      BadRequest badRequest = BadRequest.getDefaultInstance();
      RetryInfo retry = RetryInfo.getDefaultInstance();
      RequestInfo request = RequestInfo.getDefaultInstance();
      try {
        for (Any detail : com.google.rpc.Status.parseFrom(bytes).getDetailsList()) {
          info = unpacked(detail, info);
          badRequest = unpacked(detail, badRequest);
          retry = unpacked(detail, retry);
          request = unpacked(detail, request);
        }
      } catch (InvalidProtocolBufferException unreadable) {
        return NONE;
      }
      return new Details(
          info.getReason(),
          Map.copyOf(info.getMetadataMap()),
          badRequest.getFieldViolationsList().stream()
              .map(it -> new Violation(it.getField(), it.getDescription()))
              .toList(),
          retry.hasRetryDelay() ? Times.of(retry.getRetryDelay()) : null,
          request.getRequestId().isEmpty()
              ? info.getMetadataOrDefault("requestId", "")
              : request.getRequestId());
    }

    private static <T extends com.google.protobuf.Message> T unpacked(Any detail, T known) {
      try {
        return detail.isSameTypeAs(known) ? detail.unpackSameTypeAs(known) : known;
      } catch (InvalidProtocolBufferException unreadable) {
        return known;
      }
    }
  }
}
