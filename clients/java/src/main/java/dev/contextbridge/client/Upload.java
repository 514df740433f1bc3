package dev.contextbridge.client;

import com.google.protobuf.ByteString;
import dev.contextbridge.v1.File;
import dev.contextbridge.v1.FileServiceGrpc;
import dev.contextbridge.v1.UploadFileMetadata;
import dev.contextbridge.v1.UploadFileRequest;
import dev.contextbridge.v1.UploadFileResponse;
import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.Status;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;

/** A file on its way to the server, in pieces, as fast as the server takes them. */
final class Upload extends ClientCall.Listener<UploadFileResponse> {
  private static final int CHUNK_BYTES = 256 * 1024;

  private final ClientCall<UploadFileRequest, UploadFileResponse> call;

  // Guarded by this.
  private UploadFileResponse response;
  private Status status;
  private Metadata trailers;

  private Upload(Calls calls) {
    call =
        calls
            .channel()
            .newCall(
                FileServiceGrpc.getUploadFileMethod(),
                CallOptions.DEFAULT.withDeadline(calls.deadline()));
  }

  /** Fills in what the file itself says. */
  static UploadFileMetadata describe(Path file, UploadFileMetadata metadata) throws IOException {
    UploadFileMetadata.Builder whole = metadata.toBuilder();
    if (metadata.getMimeType().isEmpty()) {
      String guessed = Files.probeContentType(file);
      whole.setMimeType(guessed == null ? "" : guessed);
    }
    if (metadata.getSizeBytes() == 0) {
      whole.setSizeBytes(Files.size(file));
    }
    return whole.build();
  }

  /** Makes the call. */
  static File send(Calls calls, InputStream content, UploadFileMetadata metadata)
      throws IOException {
    if (metadata.getMimeType().isEmpty()) {
      throw new IllegalArgumentException("the media type is not known: set mime_type");
    }
    if (metadata.getSizeBytes() == 0) {
      throw new IllegalArgumentException("the size is not known: set size_bytes");
    }
    Upload upload = new Upload(calls);
    try {
      upload.send(content, metadata);
      return upload.response().getFile();
    } catch (InterruptedException interruption) {
      Thread.currentThread().interrupt();
      throw ContextBridgeException.interrupted(interruption);
    } finally {
      upload.call.cancel("The caller left.", null); // Does nothing after the end.
    }
  }

  private void send(InputStream content, UploadFileMetadata metadata)
      throws IOException, InterruptedException {
    call.start(this, new Metadata());
    call.request(1);
    call.sendMessage(UploadFileRequest.newBuilder().setMetadata(metadata).build());
    byte[] chunk = content.readNBytes(CHUNK_BYTES);
    while (chunk.length > 0 && isReady()) {
      ByteString bytes = ByteString.copyFrom(chunk);
      call.sendMessage(UploadFileRequest.newBuilder().setChunk(bytes).build());
      chunk = content.readNBytes(CHUNK_BYTES);
    }
    call.halfClose();
  }

  /** Waits until more may be sent. False where the call has ended before that. */
  private synchronized boolean isReady() throws InterruptedException {
    while (status == null && !call.isReady()) {
      wait();
    }
    return status == null;
  }

  private synchronized UploadFileResponse response() throws InterruptedException {
    while (status == null) {
      wait();
    }
    if (!status.isOk()) {
      throw ContextBridgeException.from(status.asRuntimeException(trailers));
    }
    return response;
  }

  @Override
  public synchronized void onReady() {
    notifyAll();
  }

  @Override
  public synchronized void onMessage(UploadFileResponse message) {
    response = message;
  }

  @Override
  public synchronized void onClose(Status status, Metadata trailers) {
    this.status = status;
    this.trailers = trailers;
    notifyAll();
  }
}
