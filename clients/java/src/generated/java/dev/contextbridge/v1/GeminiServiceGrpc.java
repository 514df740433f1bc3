package dev.contextbridge.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * Gemini-native generation.
 * Every failure is a status with one ErrorInfo (domain `contextbridge.dev`, reasons in
 * error_reason.proto). Errors common to all: INVALID_ARGUMENT with every field violation at once,
 * UNAUTHENTICATED, RESOURCE_EXHAUSTED with RetryInfo where waiting helps, UNAVAILABLE,
 * DEADLINE_EXCEEDED.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class GeminiServiceGrpc {

  private GeminiServiceGrpc() {}

  public static final java.lang.String SERVICE_NAME = "contextbridge.v1.GeminiService";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<dev.contextbridge.v1.GenerateContentRequest,
      dev.contextbridge.v1.GenerateContentResponse> getGenerateContentMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "GenerateContent",
      requestType = dev.contextbridge.v1.GenerateContentRequest.class,
      responseType = dev.contextbridge.v1.GenerateContentResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.contextbridge.v1.GenerateContentRequest,
      dev.contextbridge.v1.GenerateContentResponse> getGenerateContentMethod() {
    io.grpc.MethodDescriptor<dev.contextbridge.v1.GenerateContentRequest, dev.contextbridge.v1.GenerateContentResponse> getGenerateContentMethod;
    if ((getGenerateContentMethod = GeminiServiceGrpc.getGenerateContentMethod) == null) {
      synchronized (GeminiServiceGrpc.class) {
        if ((getGenerateContentMethod = GeminiServiceGrpc.getGenerateContentMethod) == null) {
          GeminiServiceGrpc.getGenerateContentMethod = getGenerateContentMethod =
              io.grpc.MethodDescriptor.<dev.contextbridge.v1.GenerateContentRequest, dev.contextbridge.v1.GenerateContentResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "GenerateContent"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.contextbridge.v1.GenerateContentRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.contextbridge.v1.GenerateContentResponse.getDefaultInstance()))
              .setSchemaDescriptor(new GeminiServiceMethodDescriptorSupplier("GenerateContent"))
              .build();
        }
      }
    }
    return getGenerateContentMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.contextbridge.v1.GenerateContentRequest,
      dev.contextbridge.v1.GenerateContentResponse> getStreamGenerateContentMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "StreamGenerateContent",
      requestType = dev.contextbridge.v1.GenerateContentRequest.class,
      responseType = dev.contextbridge.v1.GenerateContentResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
  public static io.grpc.MethodDescriptor<dev.contextbridge.v1.GenerateContentRequest,
      dev.contextbridge.v1.GenerateContentResponse> getStreamGenerateContentMethod() {
    io.grpc.MethodDescriptor<dev.contextbridge.v1.GenerateContentRequest, dev.contextbridge.v1.GenerateContentResponse> getStreamGenerateContentMethod;
    if ((getStreamGenerateContentMethod = GeminiServiceGrpc.getStreamGenerateContentMethod) == null) {
      synchronized (GeminiServiceGrpc.class) {
        if ((getStreamGenerateContentMethod = GeminiServiceGrpc.getStreamGenerateContentMethod) == null) {
          GeminiServiceGrpc.getStreamGenerateContentMethod = getStreamGenerateContentMethod =
              io.grpc.MethodDescriptor.<dev.contextbridge.v1.GenerateContentRequest, dev.contextbridge.v1.GenerateContentResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "StreamGenerateContent"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.contextbridge.v1.GenerateContentRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.contextbridge.v1.GenerateContentResponse.getDefaultInstance()))
              .setSchemaDescriptor(new GeminiServiceMethodDescriptorSupplier("StreamGenerateContent"))
              .build();
        }
      }
    }
    return getStreamGenerateContentMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.contextbridge.v1.CountTokensRequest,
      dev.contextbridge.v1.CountTokensResponse> getCountTokensMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "CountTokens",
      requestType = dev.contextbridge.v1.CountTokensRequest.class,
      responseType = dev.contextbridge.v1.CountTokensResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.contextbridge.v1.CountTokensRequest,
      dev.contextbridge.v1.CountTokensResponse> getCountTokensMethod() {
    io.grpc.MethodDescriptor<dev.contextbridge.v1.CountTokensRequest, dev.contextbridge.v1.CountTokensResponse> getCountTokensMethod;
    if ((getCountTokensMethod = GeminiServiceGrpc.getCountTokensMethod) == null) {
      synchronized (GeminiServiceGrpc.class) {
        if ((getCountTokensMethod = GeminiServiceGrpc.getCountTokensMethod) == null) {
          GeminiServiceGrpc.getCountTokensMethod = getCountTokensMethod =
              io.grpc.MethodDescriptor.<dev.contextbridge.v1.CountTokensRequest, dev.contextbridge.v1.CountTokensResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "CountTokens"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.contextbridge.v1.CountTokensRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.contextbridge.v1.CountTokensResponse.getDefaultInstance()))
              .setSchemaDescriptor(new GeminiServiceMethodDescriptorSupplier("CountTokens"))
              .build();
        }
      }
    }
    return getCountTokensMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static GeminiServiceStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<GeminiServiceStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<GeminiServiceStub>() {
        @java.lang.Override
        public GeminiServiceStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new GeminiServiceStub(channel, callOptions);
        }
      };
    return GeminiServiceStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static GeminiServiceBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<GeminiServiceBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<GeminiServiceBlockingV2Stub>() {
        @java.lang.Override
        public GeminiServiceBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new GeminiServiceBlockingV2Stub(channel, callOptions);
        }
      };
    return GeminiServiceBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static GeminiServiceBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<GeminiServiceBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<GeminiServiceBlockingStub>() {
        @java.lang.Override
        public GeminiServiceBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new GeminiServiceBlockingStub(channel, callOptions);
        }
      };
    return GeminiServiceBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static GeminiServiceFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<GeminiServiceFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<GeminiServiceFutureStub>() {
        @java.lang.Override
        public GeminiServiceFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new GeminiServiceFutureStub(channel, callOptions);
        }
      };
    return GeminiServiceFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * Gemini-native generation.
   * Every failure is a status with one ErrorInfo (domain `contextbridge.dev`, reasons in
   * error_reason.proto). Errors common to all: INVALID_ARGUMENT with every field violation at once,
   * UNAUTHENTICATED, RESOURCE_EXHAUSTED with RetryInfo where waiting helps, UNAVAILABLE,
   * DEADLINE_EXCEEDED.
   * </pre>
   */
  public interface AsyncService {

    /**
     * <pre>
     * Returns a whole answer. A prompt that was blocked is an answer without candidates.
     * Errors: NOT_FOUND (MODEL_NOT_FOUND, CACHE_NOT_FOUND, CACHE_EXPIRED).
     * </pre>
     */
    default void generateContent(dev.contextbridge.v1.GenerateContentRequest request,
        io.grpc.stub.StreamObserver<dev.contextbridge.v1.GenerateContentResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getGenerateContentMethod(), responseObserver);
    }

    /**
     * <pre>
     * Streams an answer: GenerateContent's streaming twin.
     * The last message carries `billed_usage`; a stream without it failed, and its status says how.
     * Cancelling ends upstream's work, unless others share it (`response_cache`) or it is kept to be
     * resumed (`idempotency_key`).
     * Errors with `idempotency_key`: ALREADY_EXISTS (IDEMPOTENCY_KEY_REUSED), OUT_OF_RANGE (NOT_RESUMABLE),
     * ABORTED (GENERATION_ABANDONED).
     * </pre>
     */
    default void streamGenerateContent(dev.contextbridge.v1.GenerateContentRequest request,
        io.grpc.stub.StreamObserver<dev.contextbridge.v1.GenerateContentResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getStreamGenerateContentMethod(), responseObserver);
    }

    /**
     * <pre>
     * Counts the tokens of a prompt without generating. Costs nothing.
     * </pre>
     */
    default void countTokens(dev.contextbridge.v1.CountTokensRequest request,
        io.grpc.stub.StreamObserver<dev.contextbridge.v1.CountTokensResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getCountTokensMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service GeminiService.
   * <pre>
   * Gemini-native generation.
   * Every failure is a status with one ErrorInfo (domain `contextbridge.dev`, reasons in
   * error_reason.proto). Errors common to all: INVALID_ARGUMENT with every field violation at once,
   * UNAUTHENTICATED, RESOURCE_EXHAUSTED with RetryInfo where waiting helps, UNAVAILABLE,
   * DEADLINE_EXCEEDED.
   * </pre>
   */
  public static abstract class GeminiServiceImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return GeminiServiceGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service GeminiService.
   * <pre>
   * Gemini-native generation.
   * Every failure is a status with one ErrorInfo (domain `contextbridge.dev`, reasons in
   * error_reason.proto). Errors common to all: INVALID_ARGUMENT with every field violation at once,
   * UNAUTHENTICATED, RESOURCE_EXHAUSTED with RetryInfo where waiting helps, UNAVAILABLE,
   * DEADLINE_EXCEEDED.
   * </pre>
   */
  public static final class GeminiServiceStub
      extends io.grpc.stub.AbstractAsyncStub<GeminiServiceStub> {
    private GeminiServiceStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected GeminiServiceStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new GeminiServiceStub(channel, callOptions);
    }

    /**
     * <pre>
     * Returns a whole answer. A prompt that was blocked is an answer without candidates.
     * Errors: NOT_FOUND (MODEL_NOT_FOUND, CACHE_NOT_FOUND, CACHE_EXPIRED).
     * </pre>
     */
    public void generateContent(dev.contextbridge.v1.GenerateContentRequest request,
        io.grpc.stub.StreamObserver<dev.contextbridge.v1.GenerateContentResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getGenerateContentMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Streams an answer: GenerateContent's streaming twin.
     * The last message carries `billed_usage`; a stream without it failed, and its status says how.
     * Cancelling ends upstream's work, unless others share it (`response_cache`) or it is kept to be
     * resumed (`idempotency_key`).
     * Errors with `idempotency_key`: ALREADY_EXISTS (IDEMPOTENCY_KEY_REUSED), OUT_OF_RANGE (NOT_RESUMABLE),
     * ABORTED (GENERATION_ABANDONED).
     * </pre>
     */
    public void streamGenerateContent(dev.contextbridge.v1.GenerateContentRequest request,
        io.grpc.stub.StreamObserver<dev.contextbridge.v1.GenerateContentResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncServerStreamingCall(
          getChannel().newCall(getStreamGenerateContentMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Counts the tokens of a prompt without generating. Costs nothing.
     * </pre>
     */
    public void countTokens(dev.contextbridge.v1.CountTokensRequest request,
        io.grpc.stub.StreamObserver<dev.contextbridge.v1.CountTokensResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getCountTokensMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service GeminiService.
   * <pre>
   * Gemini-native generation.
   * Every failure is a status with one ErrorInfo (domain `contextbridge.dev`, reasons in
   * error_reason.proto). Errors common to all: INVALID_ARGUMENT with every field violation at once,
   * UNAUTHENTICATED, RESOURCE_EXHAUSTED with RetryInfo where waiting helps, UNAVAILABLE,
   * DEADLINE_EXCEEDED.
   * </pre>
   */
  public static final class GeminiServiceBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<GeminiServiceBlockingV2Stub> {
    private GeminiServiceBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected GeminiServiceBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new GeminiServiceBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * Returns a whole answer. A prompt that was blocked is an answer without candidates.
     * Errors: NOT_FOUND (MODEL_NOT_FOUND, CACHE_NOT_FOUND, CACHE_EXPIRED).
     * </pre>
     */
    public dev.contextbridge.v1.GenerateContentResponse generateContent(dev.contextbridge.v1.GenerateContentRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getGenerateContentMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Streams an answer: GenerateContent's streaming twin.
     * The last message carries `billed_usage`; a stream without it failed, and its status says how.
     * Cancelling ends upstream's work, unless others share it (`response_cache`) or it is kept to be
     * resumed (`idempotency_key`).
     * Errors with `idempotency_key`: ALREADY_EXISTS (IDEMPOTENCY_KEY_REUSED), OUT_OF_RANGE (NOT_RESUMABLE),
     * ABORTED (GENERATION_ABANDONED).
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<?, dev.contextbridge.v1.GenerateContentResponse>
        streamGenerateContent(dev.contextbridge.v1.GenerateContentRequest request) {
      return io.grpc.stub.ClientCalls.blockingV2ServerStreamingCall(
          getChannel(), getStreamGenerateContentMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Counts the tokens of a prompt without generating. Costs nothing.
     * </pre>
     */
    public dev.contextbridge.v1.CountTokensResponse countTokens(dev.contextbridge.v1.CountTokensRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getCountTokensMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service GeminiService.
   * <pre>
   * Gemini-native generation.
   * Every failure is a status with one ErrorInfo (domain `contextbridge.dev`, reasons in
   * error_reason.proto). Errors common to all: INVALID_ARGUMENT with every field violation at once,
   * UNAUTHENTICATED, RESOURCE_EXHAUSTED with RetryInfo where waiting helps, UNAVAILABLE,
   * DEADLINE_EXCEEDED.
   * </pre>
   */
  public static final class GeminiServiceBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<GeminiServiceBlockingStub> {
    private GeminiServiceBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected GeminiServiceBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new GeminiServiceBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Returns a whole answer. A prompt that was blocked is an answer without candidates.
     * Errors: NOT_FOUND (MODEL_NOT_FOUND, CACHE_NOT_FOUND, CACHE_EXPIRED).
     * </pre>
     */
    public dev.contextbridge.v1.GenerateContentResponse generateContent(dev.contextbridge.v1.GenerateContentRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getGenerateContentMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Streams an answer: GenerateContent's streaming twin.
     * The last message carries `billed_usage`; a stream without it failed, and its status says how.
     * Cancelling ends upstream's work, unless others share it (`response_cache`) or it is kept to be
     * resumed (`idempotency_key`).
     * Errors with `idempotency_key`: ALREADY_EXISTS (IDEMPOTENCY_KEY_REUSED), OUT_OF_RANGE (NOT_RESUMABLE),
     * ABORTED (GENERATION_ABANDONED).
     * </pre>
     */
    public java.util.Iterator<dev.contextbridge.v1.GenerateContentResponse> streamGenerateContent(
        dev.contextbridge.v1.GenerateContentRequest request) {
      return io.grpc.stub.ClientCalls.blockingServerStreamingCall(
          getChannel(), getStreamGenerateContentMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Counts the tokens of a prompt without generating. Costs nothing.
     * </pre>
     */
    public dev.contextbridge.v1.CountTokensResponse countTokens(dev.contextbridge.v1.CountTokensRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getCountTokensMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service GeminiService.
   * <pre>
   * Gemini-native generation.
   * Every failure is a status with one ErrorInfo (domain `contextbridge.dev`, reasons in
   * error_reason.proto). Errors common to all: INVALID_ARGUMENT with every field violation at once,
   * UNAUTHENTICATED, RESOURCE_EXHAUSTED with RetryInfo where waiting helps, UNAVAILABLE,
   * DEADLINE_EXCEEDED.
   * </pre>
   */
  public static final class GeminiServiceFutureStub
      extends io.grpc.stub.AbstractFutureStub<GeminiServiceFutureStub> {
    private GeminiServiceFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected GeminiServiceFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new GeminiServiceFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Returns a whole answer. A prompt that was blocked is an answer without candidates.
     * Errors: NOT_FOUND (MODEL_NOT_FOUND, CACHE_NOT_FOUND, CACHE_EXPIRED).
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.contextbridge.v1.GenerateContentResponse> generateContent(
        dev.contextbridge.v1.GenerateContentRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getGenerateContentMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Counts the tokens of a prompt without generating. Costs nothing.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.contextbridge.v1.CountTokensResponse> countTokens(
        dev.contextbridge.v1.CountTokensRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getCountTokensMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_GENERATE_CONTENT = 0;
  private static final int METHODID_STREAM_GENERATE_CONTENT = 1;
  private static final int METHODID_COUNT_TOKENS = 2;

  private static final class MethodHandlers<Req, Resp> implements
      io.grpc.stub.ServerCalls.UnaryMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.ServerStreamingMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.ClientStreamingMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.BidiStreamingMethod<Req, Resp> {
    private final AsyncService serviceImpl;
    private final int methodId;

    MethodHandlers(AsyncService serviceImpl, int methodId) {
      this.serviceImpl = serviceImpl;
      this.methodId = methodId;
    }

    @java.lang.Override
    @java.lang.SuppressWarnings("unchecked")
    public void invoke(Req request, io.grpc.stub.StreamObserver<Resp> responseObserver) {
      switch (methodId) {
        case METHODID_GENERATE_CONTENT:
          serviceImpl.generateContent((dev.contextbridge.v1.GenerateContentRequest) request,
              (io.grpc.stub.StreamObserver<dev.contextbridge.v1.GenerateContentResponse>) responseObserver);
          break;
        case METHODID_STREAM_GENERATE_CONTENT:
          serviceImpl.streamGenerateContent((dev.contextbridge.v1.GenerateContentRequest) request,
              (io.grpc.stub.StreamObserver<dev.contextbridge.v1.GenerateContentResponse>) responseObserver);
          break;
        case METHODID_COUNT_TOKENS:
          serviceImpl.countTokens((dev.contextbridge.v1.CountTokensRequest) request,
              (io.grpc.stub.StreamObserver<dev.contextbridge.v1.CountTokensResponse>) responseObserver);
          break;
        default:
          throw new AssertionError();
      }
    }

    @java.lang.Override
    @java.lang.SuppressWarnings("unchecked")
    public io.grpc.stub.StreamObserver<Req> invoke(
        io.grpc.stub.StreamObserver<Resp> responseObserver) {
      switch (methodId) {
        default:
          throw new AssertionError();
      }
    }
  }

  public static final io.grpc.ServerServiceDefinition bindService(AsyncService service) {
    return io.grpc.ServerServiceDefinition.builder(getServiceDescriptor())
        .addMethod(
          getGenerateContentMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.contextbridge.v1.GenerateContentRequest,
              dev.contextbridge.v1.GenerateContentResponse>(
                service, METHODID_GENERATE_CONTENT)))
        .addMethod(
          getStreamGenerateContentMethod(),
          io.grpc.stub.ServerCalls.asyncServerStreamingCall(
            new MethodHandlers<
              dev.contextbridge.v1.GenerateContentRequest,
              dev.contextbridge.v1.GenerateContentResponse>(
                service, METHODID_STREAM_GENERATE_CONTENT)))
        .addMethod(
          getCountTokensMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.contextbridge.v1.CountTokensRequest,
              dev.contextbridge.v1.CountTokensResponse>(
                service, METHODID_COUNT_TOKENS)))
        .build();
  }

  private static abstract class GeminiServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    GeminiServiceBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return dev.contextbridge.v1.GeminiServiceProto.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("GeminiService");
    }
  }

  private static final class GeminiServiceFileDescriptorSupplier
      extends GeminiServiceBaseDescriptorSupplier {
    GeminiServiceFileDescriptorSupplier() {}
  }

  private static final class GeminiServiceMethodDescriptorSupplier
      extends GeminiServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    GeminiServiceMethodDescriptorSupplier(java.lang.String methodName) {
      this.methodName = methodName;
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.MethodDescriptor getMethodDescriptor() {
      return getServiceDescriptor().findMethodByName(methodName);
    }
  }

  private static volatile io.grpc.ServiceDescriptor serviceDescriptor;

  public static io.grpc.ServiceDescriptor getServiceDescriptor() {
    io.grpc.ServiceDescriptor result = serviceDescriptor;
    if (result == null) {
      synchronized (GeminiServiceGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new GeminiServiceFileDescriptorSupplier())
              .addMethod(getGenerateContentMethod())
              .addMethod(getStreamGenerateContentMethod())
              .addMethod(getCountTokensMethod())
              .build();
        }
      }
    }
    return result;
  }
}
