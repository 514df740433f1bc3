package dev.contextbridge.client;

import dev.contextbridge.v1.CachedContent;
import dev.contextbridge.v1.CachedContentServiceGrpc;
import dev.contextbridge.v1.ChatWithContextRequest;
import dev.contextbridge.v1.CompleteChatWithContextResponse;
import dev.contextbridge.v1.Context;
import dev.contextbridge.v1.ContextServiceGrpc;
import dev.contextbridge.v1.CountTokensRequest;
import dev.contextbridge.v1.CountTokensResponse;
import dev.contextbridge.v1.CreateCachedContentRequest;
import dev.contextbridge.v1.CreateContextRequest;
import dev.contextbridge.v1.CreateContextResponse;
import dev.contextbridge.v1.DeleteCachedContentRequest;
import dev.contextbridge.v1.DeleteCachedResponsesRequest;
import dev.contextbridge.v1.DeleteContextRequest;
import dev.contextbridge.v1.DeleteFileRequest;
import dev.contextbridge.v1.File;
import dev.contextbridge.v1.FileServiceGrpc;
import dev.contextbridge.v1.GeminiServiceGrpc;
import dev.contextbridge.v1.GenerateContentRequest;
import dev.contextbridge.v1.GenerateContentResponse;
import dev.contextbridge.v1.GetCachedContentRequest;
import dev.contextbridge.v1.GetContextRequest;
import dev.contextbridge.v1.GetFileRequest;
import dev.contextbridge.v1.GetResponseCacheStatisticsRequest;
import dev.contextbridge.v1.ListCachedContentsRequest;
import dev.contextbridge.v1.ListCachedContentsResponse;
import dev.contextbridge.v1.ListContextsRequest;
import dev.contextbridge.v1.ListContextsResponse;
import dev.contextbridge.v1.ListFilesRequest;
import dev.contextbridge.v1.ListFilesResponse;
import dev.contextbridge.v1.ResponseCacheServiceGrpc;
import dev.contextbridge.v1.ResponseCacheStatistics;
import dev.contextbridge.v1.UpdateCachedContentRequest;
import dev.contextbridge.v1.UpdateContextRequest;
import dev.contextbridge.v1.UploadFileMetadata;
import io.grpc.Channel;
import io.grpc.ClientInterceptors;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Objects;
import java.util.function.Consumer;
import java.util.function.Supplier;

/**
 * A client of a contextbridge server, for any number of threads.
 *
 * <p>It holds one channel and is made to live long; close it at the end. Every method blocks, and
 * throws {@link ContextBridgeException} where the call fails. The deadline and the cancellation of
 * gRPC's {@link io.grpc.Context} are heeded; a thread that is interrupted leaves its call, which
 * fails with the code CANCELLED, and stays marked as interrupted.
 *
 * <p>Reads are retried on UNAVAILABLE. What may cost money is repeated only where it has an {@code
 * idempotency_key}, which makes it paid once: a stream then goes on after its newest event, and its
 * reader sees nothing of the break.
 */
public final class ContextBridgeClient implements AutoCloseable {
  private final Calls calls;

  private ContextBridgeClient(Calls calls) {
    this.calls = calls;
  }

  /**
   * Begins a client.
   *
   * @return a builder with the defaults
   */
  public static Builder builder() {
    return new Builder();
  }

  /**
   * This client with another deadline, on the same channel, which either of both closes.
   *
   * @param timeout the deadline of each call, breaks included; {@code
   *     ChronoUnit.FOREVER.getDuration()} sets none
   * @return a client that is cheap to make
   */
  public ContextBridgeClient withTimeout(Duration timeout) {
    Objects.requireNonNull(timeout);
    return new ContextBridgeClient(
        new Calls(calls.connection(), calls.channel(), timeout, calls.resume()));
  }

  /**
   * This client with another way to resume, on the same channel, which either of both closes.
   *
   * @param resume how calls with an {@code idempotency_key} that break are taken up again
   * @return a client that is cheap to make
   */
  public ContextBridgeClient withResume(Resume resume) {
    Objects.requireNonNull(resume);
    return new ContextBridgeClient(
        new Calls(calls.connection(), calls.channel(), calls.timeout(), resume));
  }

  /**
   * The channel, for the generated stubs and whatever this class leaves out. Its calls carry the
   * token and the key; {@link ContextBridgeException#from} reads their errors.
   *
   * @return the channel of this client
   */
  public Channel channel() {
    return calls.channel();
  }

  /** Ends the calls that are open and closes the channel. */
  @Override
  public void close() {
    calls.connection().shutdownNow();
  }

  // Contexts

  /**
   * Makes a context, which upstream charges for until its binding lapses.
   *
   * <p>Without an {@code idempotency_key} a repeated call makes, and pays for, a second one.
   *
   * @param request the model, the messages of the prefix, and how long it lives
   * @return the context, and what it cost
   */
  public CreateContextResponse createContext(CreateContextRequest request) {
    return calls.unary(
        ContextServiceGrpc.getCreateContextMethod(), request, request.getIdempotencyKey());
  }

  /**
   * Returns a context as it is now.
   *
   * @param id the context's id
   * @return the context
   */
  public Context getContext(String id) {
    GetContextRequest request = GetContextRequest.newBuilder().setId(id).build();
    return calls.unary(ContextServiceGrpc.getGetContextMethod(), request).getContext();
  }

  /**
   * Lists the caller's contexts, the newest first.
   *
   * @return all of them, fetched page by page as they are read, each page with a deadline of its
   *     own
   */
  public Iterable<Context> listContexts() {
    return listContexts(ListContextsRequest.getDefaultInstance());
  }

  /**
   * Lists some of the caller's contexts, the newest first.
   *
   * @param request which ones, and how many at once
   * @return all of them, fetched page by page as they are read, each page with a deadline of its
   *     own
   */
  public Iterable<Context> listContexts(ListContextsRequest request) {
    return Calls.pages(
        request.getPageToken(),
        token ->
            calls.unary(
                ContextServiceGrpc.getListContextsMethod(),
                request.toBuilder().setPageToken(token).build()),
        ListContextsResponse::getContextsList,
        ListContextsResponse::getNextPageToken);
  }

  /**
   * Changes how long a context lives, or its name.
   *
   * @param request the context's id and the changes
   * @return the context as it is now
   */
  public Context updateContext(UpdateContextRequest request) {
    return calls.unary(ContextServiceGrpc.getUpdateContextMethod(), request).getContext();
  }

  /**
   * Deletes a context and what was stored of it.
   *
   * @param id the context's id
   */
  public void deleteContext(String id) {
    DeleteContextRequest request = DeleteContextRequest.newBuilder().setId(id).build();
    calls.unary(ContextServiceGrpc.getDeleteContextMethod(), request);
  }

  // Chats

  /**
   * Continues from a context and streams the answer. The call begins when the stream is read.
   *
   * @param request the context's id, its model, and what is new
   * @return the answer on its way; close it
   */
  public ChatStream chat(ChatWithContextRequest request) {
    return new ChatStream(calls, request);
  }

  /**
   * Continues from a context and returns the whole answer: {@link #chat} without the stream.
   *
   * @param request the context's id, its model, and what is new
   * @return the whole answer
   */
  public CompleteChatWithContextResponse completeChat(ChatWithContextRequest request) {
    return calls.unary(
        ContextServiceGrpc.getCompleteChatWithContextMethod(),
        request,
        request.getIdempotencyKey());
  }

  // Gemini

  /**
   * Returns a whole answer. A prompt that was blocked is an answer without candidates.
   *
   * @param request the model and the conversation
   * @return the whole answer
   */
  public GenerateContentResponse generateContent(GenerateContentRequest request) {
    return calls.unary(
        GeminiServiceGrpc.getGenerateContentMethod(), request, request.getIdempotencyKey());
  }

  /**
   * Streams an answer: {@link #generateContent} piece by piece. The call begins when the stream is
   * read.
   *
   * @param request the model and the conversation
   * @return the answer on its way; close it
   */
  public ContentStream streamGenerateContent(GenerateContentRequest request) {
    return new ContentStream(calls, request);
  }

  /**
   * Counts the tokens of what {@link #generateContent} would send. Costs nothing.
   *
   * @param request the model, and the contents or the whole request
   * @return the number of tokens
   */
  public CountTokensResponse countTokens(CountTokensRequest request) {
    return calls.unary(GeminiServiceGrpc.getCountTokensMethod(), request);
  }

  // Cached contents

  /**
   * Makes a cached content, which upstream charges for until it ends.
   *
   * @param request the content to keep, and its model
   * @return its metadata
   */
  public CachedContent createCachedContent(CreateCachedContentRequest request) {
    return calls
        .unary(CachedContentServiceGrpc.getCreateCachedContentMethod(), request)
        .getCachedContent();
  }

  /**
   * Returns a cached content's metadata; its content cannot be read back.
   *
   * @param name {@code cachedContents/…}
   * @return its metadata
   */
  public CachedContent getCachedContent(String name) {
    GetCachedContentRequest request = GetCachedContentRequest.newBuilder().setName(name).build();
    return calls
        .unary(CachedContentServiceGrpc.getGetCachedContentMethod(), request)
        .getCachedContent();
  }

  /**
   * Lists the cached contents' metadata.
   *
   * @return all of them, fetched page by page as they are read, each page with a deadline of its
   *     own
   */
  public Iterable<CachedContent> listCachedContents() {
    return listCachedContents(ListCachedContentsRequest.getDefaultInstance());
  }

  /**
   * Lists the cached contents' metadata.
   *
   * @param request how many at once
   * @return all of them, fetched page by page as they are read, each page with a deadline of its
   *     own
   */
  public Iterable<CachedContent> listCachedContents(ListCachedContentsRequest request) {
    return Calls.pages(
        request.getPageToken(),
        token ->
            calls.unary(
                CachedContentServiceGrpc.getListCachedContentsMethod(),
                request.toBuilder().setPageToken(token).build()),
        ListCachedContentsResponse::getCachedContentsList,
        ListCachedContentsResponse::getNextPageToken);
  }

  /**
   * Changes when a cached content ends.
   *
   * @param request its name and its new {@code ttl} or {@code expire_time}
   * @return its metadata as it is now
   */
  public CachedContent updateCachedContent(UpdateCachedContentRequest request) {
    return calls
        .unary(CachedContentServiceGrpc.getUpdateCachedContentMethod(), request)
        .getCachedContent();
  }

  /**
   * Deletes a cached content.
   *
   * @param name {@code cachedContents/…}
   */
  public void deleteCachedContent(String name) {
    DeleteCachedContentRequest request =
        DeleteCachedContentRequest.newBuilder().setName(name).build();
    calls.unary(CachedContentServiceGrpc.getDeleteCachedContentMethod(), request);
  }

  // Response cache

  /**
   * Deletes answers that the server keeps for the caller's tenant.
   *
   * @param request exactly one field that says which
   * @return how many there were
   */
  public long deleteCachedResponses(DeleteCachedResponsesRequest request) {
    return calls
        .unary(ResponseCacheServiceGrpc.getDeleteCachedResponsesMethod(), request)
        .getDeletedCount();
  }

  /**
   * Returns what the server keeps for the caller's tenant, and how that has been used.
   *
   * @return the counts
   */
  public ResponseCacheStatistics getResponseCacheStatistics() {
    return calls
        .unary(
            ResponseCacheServiceGrpc.getGetResponseCacheStatisticsMethod(),
            GetResponseCacheStatisticsRequest.getDefaultInstance())
        .getStatistics();
  }

  // Files

  /**
   * Uploads a file; its media type is guessed.
   *
   * @param file the file
   * @return what is known of it; a video may be {@code STATE_PROCESSING} at first
   * @throws IOException where the file cannot be read
   * @throws IllegalArgumentException where the media type cannot be guessed
   */
  public File uploadFile(Path file) throws IOException {
    return uploadFile(file, UploadFileMetadata.getDefaultInstance());
  }

  /**
   * Uploads a file.
   *
   * @param file the file
   * @param metadata what it is; a media type that is left out is guessed, and the size is found out
   * @return what is known of it; a video may be {@code STATE_PROCESSING} at first
   * @throws IOException where the file cannot be read
   * @throws IllegalArgumentException where the media type is neither given nor guessed
   */
  public File uploadFile(Path file, UploadFileMetadata metadata) throws IOException {
    try (InputStream content = Files.newInputStream(file)) {
      return Upload.send(calls, content, Upload.describe(file, metadata));
    }
  }

  /**
   * Uploads bytes.
   *
   * @param content the bytes
   * @param metadata what they are; the size may be left out
   * @return what is known of the file; a video may be {@code STATE_PROCESSING} at first
   * @throws IllegalArgumentException without a media type
   */
  public File uploadFile(byte[] content, UploadFileMetadata metadata) {
    try {
      return Upload.send(
          calls,
          new ByteArrayInputStream(content),
          metadata.toBuilder().setSizeBytes(content.length).build());
    } catch (IOException impossible) {
      throw new IllegalStateException(impossible);
    }
  }

  /**
   * Uploads what a stream gives, which is read to its end and not closed.
   *
   * @param content the stream
   * @param metadata what it gives; media type and size are needed
   * @return what is known of the file; a video may be {@code STATE_PROCESSING} at first
   * @throws IOException where the stream cannot be read
   * @throws IllegalArgumentException without a media type or a size
   */
  public File uploadFile(InputStream content, UploadFileMetadata metadata) throws IOException {
    return Upload.send(calls, content, metadata);
  }

  /**
   * Returns a file's metadata.
   *
   * @param name {@code files/…}
   * @return what is known of it
   */
  public File getFile(String name) {
    GetFileRequest request = GetFileRequest.newBuilder().setName(name).build();
    return calls.unary(FileServiceGrpc.getGetFileMethod(), request).getFile();
  }

  /**
   * Lists the files' metadata.
   *
   * @return all of them, fetched page by page as they are read, each page with a deadline of its
   *     own
   */
  public Iterable<File> listFiles() {
    return listFiles(ListFilesRequest.getDefaultInstance());
  }

  /**
   * Lists the files' metadata.
   *
   * @param request how many at once
   * @return all of them, fetched page by page as they are read, each page with a deadline of its
   *     own
   */
  public Iterable<File> listFiles(ListFilesRequest request) {
    return Calls.pages(
        request.getPageToken(),
        token ->
            calls.unary(
                FileServiceGrpc.getListFilesMethod(),
                request.toBuilder().setPageToken(token).build()),
        ListFilesResponse::getFilesList,
        ListFilesResponse::getNextPageToken);
  }

  /**
   * Deletes a file.
   *
   * @param name {@code files/…}
   */
  public void deleteFile(String name) {
    DeleteFileRequest request = DeleteFileRequest.newBuilder().setName(name).build();
    calls.unary(FileServiceGrpc.getDeleteFileMethod(), request);
  }

  /** Says how a client connects. */
  public static final class Builder {
    private String target = "127.0.0.1:50051";
    private Supplier<String> token;
    private Supplier<String> upstreamApiKey;
    private Tls tls;
    private boolean insecureToken;
    // Servers take one ping in five minutes without data and cut off whoever sends more; the rest
    // is room for the network's jitter.
    private Duration keepalive = Duration.ofSeconds(330);
    private Duration timeout;
    private Resume resume = Resume.DEFAULT;
    private Consumer<ManagedChannelBuilder<?>> options = channel -> {};

    private Builder() {}

    /**
     * Where the server is; {@code 127.0.0.1:50051} by default.
     *
     * @param target the address, such as {@code bridge.internal:443}, or {@code
     *     dns:///bridge.internal:443} for a name with several, which calls are spread over in turn
     * @return this builder
     */
    public Builder target(String target) {
      this.target = target;
      return this;
    }

    /**
     * Who the caller is: goes as {@code authorization: Bearer …}.
     *
     * @param token the token
     * @return this builder
     * @throws IllegalArgumentException for what metadata cannot hold
     */
    public Builder token(String token) {
      String checked = Secrets.checked(token);
      return token(() -> checked);
    }

    /**
     * Who the caller is, asked for each call, so that it can change while the client lives.
     *
     * @param token gives the token; what it throws, the call throws
     * @return this builder
     */
    public Builder token(Supplier<String> token) {
      this.token = token;
      return this;
    }

    /**
     * The caller's own key of upstream, where the server passes it on.
     *
     * @param key the key
     * @return this builder
     * @throws IllegalArgumentException for what metadata cannot hold
     */
    public Builder upstreamApiKey(String key) {
      String checked = Secrets.checked(key);
      return upstreamApiKey(() -> checked);
    }

    /**
     * The caller's own key of upstream, asked for each call.
     *
     * @param key gives the key; what it throws, the call throws
     * @return this builder
     */
    public Builder upstreamApiKey(Supplier<String> key) {
      this.upstreamApiKey = key;
      return this;
    }

    /**
     * Connects with TLS; plain text is the default.
     *
     * @param tls whom to trust, such as {@link Tls#systemRoots()}
     * @return this builder
     */
    public Builder tls(Tls tls) {
      this.tls = tls;
      return this;
    }

    /**
     * Whether token and key may go in plain text to another machine, where something else encrypts
     * the way.
     *
     * @param insecureToken true to allow it
     * @return this builder
     */
    public Builder insecureToken(boolean insecureToken) {
      this.insecureToken = insecureToken;
      return this;
    }

    /**
     * How often the connection is probed during a call; every 330 seconds by default. Servers cut
     * off clients that probe more often than they allow, by default every 300 seconds.
     *
     * @param keepalive the time between two pings; zero never pings. gRPC makes it 10 seconds at
     *     least
     * @return this builder
     */
    public Builder keepalive(Duration keepalive) {
      this.keepalive = Objects.requireNonNull(keepalive);
      return this;
    }

    /**
     * The deadline of each call, streams as a whole and breaks included; none by default.
     *
     * @param timeout the time from when the call begins
     * @return this builder
     */
    public Builder timeout(Duration timeout) {
      this.timeout = timeout;
      return this;
    }

    /**
     * How calls with an {@code idempotency_key} that break are taken up again.
     *
     * @param resume {@link Resume#DEFAULT} by default; {@link Resume#OFF} leaves it to the caller
     * @return this builder
     */
    public Builder resume(Resume resume) {
      this.resume = Objects.requireNonNull(resume);
      return this;
    }

    /**
     * Changes the channel beyond what this builder offers: an executor, interceptors, a proxy.
     *
     * @param options is given gRPC's builder when everything else is set
     * @return this builder
     */
    public Builder channel(Consumer<ManagedChannelBuilder<?>> options) {
      this.options = Objects.requireNonNull(options);
      return this;
    }

    /**
     * Makes the client, which connects with its first call.
     *
     * @return a client, to be closed at the end
     * @throws IllegalArgumentException for a token or key that would leave this machine in plain
     *     text, and for PEM that cannot be read
     */
    public ContextBridgeClient build() {
      Secrets secrets = new Secrets(token, upstreamApiKey);
      if (!secrets.isEmpty() && tls == null && !insecureToken && !Connection.isLocal(target)) {
        throw new IllegalArgumentException(
            "a token or key would go to "
                + target
                + " in the clear: use tls, or insecureToken where something else encrypts the way");
      }
      ManagedChannel connection = Connection.open(target, tls, keepalive, options);
      Channel channel = ClientInterceptors.intercept(connection, secrets);
      return new ContextBridgeClient(new Calls(connection, channel, timeout, resume));
    }
  }
}
