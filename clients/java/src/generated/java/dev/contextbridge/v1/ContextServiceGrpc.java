package dev.contextbridge.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * Contexts, and chats that start from them.
 * A resource of the server's own (a context) is identified by `id`, a resource of Gemini's API (a
 * cached content, a file) by `name`, as Google's API has it. No message has both.
 * Every failure is a status with one ErrorInfo (domain `contextbridge.dev`, reasons in
 * error_reason.proto), never an event. Errors common to all: INVALID_ARGUMENT with every field
 * violation at once, UNAUTHENTICATED, RESOURCE_EXHAUSTED with RetryInfo where waiting helps,
 * UNAVAILABLE, DEADLINE_EXCEEDED.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class ContextServiceGrpc {

  private ContextServiceGrpc() {}

  public static final java.lang.String SERVICE_NAME = "contextbridge.v1.ContextService";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<dev.contextbridge.v1.CreateContextRequest,
      dev.contextbridge.v1.CreateContextResponse> getCreateContextMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "CreateContext",
      requestType = dev.contextbridge.v1.CreateContextRequest.class,
      responseType = dev.contextbridge.v1.CreateContextResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.contextbridge.v1.CreateContextRequest,
      dev.contextbridge.v1.CreateContextResponse> getCreateContextMethod() {
    io.grpc.MethodDescriptor<dev.contextbridge.v1.CreateContextRequest, dev.contextbridge.v1.CreateContextResponse> getCreateContextMethod;
    if ((getCreateContextMethod = ContextServiceGrpc.getCreateContextMethod) == null) {
      synchronized (ContextServiceGrpc.class) {
        if ((getCreateContextMethod = ContextServiceGrpc.getCreateContextMethod) == null) {
          ContextServiceGrpc.getCreateContextMethod = getCreateContextMethod =
              io.grpc.MethodDescriptor.<dev.contextbridge.v1.CreateContextRequest, dev.contextbridge.v1.CreateContextResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "CreateContext"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.contextbridge.v1.CreateContextRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.contextbridge.v1.CreateContextResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ContextServiceMethodDescriptorSupplier("CreateContext"))
              .build();
        }
      }
    }
    return getCreateContextMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.contextbridge.v1.GetContextRequest,
      dev.contextbridge.v1.GetContextResponse> getGetContextMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "GetContext",
      requestType = dev.contextbridge.v1.GetContextRequest.class,
      responseType = dev.contextbridge.v1.GetContextResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.contextbridge.v1.GetContextRequest,
      dev.contextbridge.v1.GetContextResponse> getGetContextMethod() {
    io.grpc.MethodDescriptor<dev.contextbridge.v1.GetContextRequest, dev.contextbridge.v1.GetContextResponse> getGetContextMethod;
    if ((getGetContextMethod = ContextServiceGrpc.getGetContextMethod) == null) {
      synchronized (ContextServiceGrpc.class) {
        if ((getGetContextMethod = ContextServiceGrpc.getGetContextMethod) == null) {
          ContextServiceGrpc.getGetContextMethod = getGetContextMethod =
              io.grpc.MethodDescriptor.<dev.contextbridge.v1.GetContextRequest, dev.contextbridge.v1.GetContextResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "GetContext"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.contextbridge.v1.GetContextRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.contextbridge.v1.GetContextResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ContextServiceMethodDescriptorSupplier("GetContext"))
              .build();
        }
      }
    }
    return getGetContextMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.contextbridge.v1.ListContextsRequest,
      dev.contextbridge.v1.ListContextsResponse> getListContextsMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ListContexts",
      requestType = dev.contextbridge.v1.ListContextsRequest.class,
      responseType = dev.contextbridge.v1.ListContextsResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.contextbridge.v1.ListContextsRequest,
      dev.contextbridge.v1.ListContextsResponse> getListContextsMethod() {
    io.grpc.MethodDescriptor<dev.contextbridge.v1.ListContextsRequest, dev.contextbridge.v1.ListContextsResponse> getListContextsMethod;
    if ((getListContextsMethod = ContextServiceGrpc.getListContextsMethod) == null) {
      synchronized (ContextServiceGrpc.class) {
        if ((getListContextsMethod = ContextServiceGrpc.getListContextsMethod) == null) {
          ContextServiceGrpc.getListContextsMethod = getListContextsMethod =
              io.grpc.MethodDescriptor.<dev.contextbridge.v1.ListContextsRequest, dev.contextbridge.v1.ListContextsResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ListContexts"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.contextbridge.v1.ListContextsRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.contextbridge.v1.ListContextsResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ContextServiceMethodDescriptorSupplier("ListContexts"))
              .build();
        }
      }
    }
    return getListContextsMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.contextbridge.v1.UpdateContextRequest,
      dev.contextbridge.v1.UpdateContextResponse> getUpdateContextMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "UpdateContext",
      requestType = dev.contextbridge.v1.UpdateContextRequest.class,
      responseType = dev.contextbridge.v1.UpdateContextResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.contextbridge.v1.UpdateContextRequest,
      dev.contextbridge.v1.UpdateContextResponse> getUpdateContextMethod() {
    io.grpc.MethodDescriptor<dev.contextbridge.v1.UpdateContextRequest, dev.contextbridge.v1.UpdateContextResponse> getUpdateContextMethod;
    if ((getUpdateContextMethod = ContextServiceGrpc.getUpdateContextMethod) == null) {
      synchronized (ContextServiceGrpc.class) {
        if ((getUpdateContextMethod = ContextServiceGrpc.getUpdateContextMethod) == null) {
          ContextServiceGrpc.getUpdateContextMethod = getUpdateContextMethod =
              io.grpc.MethodDescriptor.<dev.contextbridge.v1.UpdateContextRequest, dev.contextbridge.v1.UpdateContextResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "UpdateContext"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.contextbridge.v1.UpdateContextRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.contextbridge.v1.UpdateContextResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ContextServiceMethodDescriptorSupplier("UpdateContext"))
              .build();
        }
      }
    }
    return getUpdateContextMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.contextbridge.v1.DeleteContextRequest,
      dev.contextbridge.v1.DeleteContextResponse> getDeleteContextMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "DeleteContext",
      requestType = dev.contextbridge.v1.DeleteContextRequest.class,
      responseType = dev.contextbridge.v1.DeleteContextResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.contextbridge.v1.DeleteContextRequest,
      dev.contextbridge.v1.DeleteContextResponse> getDeleteContextMethod() {
    io.grpc.MethodDescriptor<dev.contextbridge.v1.DeleteContextRequest, dev.contextbridge.v1.DeleteContextResponse> getDeleteContextMethod;
    if ((getDeleteContextMethod = ContextServiceGrpc.getDeleteContextMethod) == null) {
      synchronized (ContextServiceGrpc.class) {
        if ((getDeleteContextMethod = ContextServiceGrpc.getDeleteContextMethod) == null) {
          ContextServiceGrpc.getDeleteContextMethod = getDeleteContextMethod =
              io.grpc.MethodDescriptor.<dev.contextbridge.v1.DeleteContextRequest, dev.contextbridge.v1.DeleteContextResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "DeleteContext"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.contextbridge.v1.DeleteContextRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.contextbridge.v1.DeleteContextResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ContextServiceMethodDescriptorSupplier("DeleteContext"))
              .build();
        }
      }
    }
    return getDeleteContextMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.contextbridge.v1.ChatWithContextRequest,
      dev.contextbridge.v1.ChatWithContextResponse> getChatWithContextMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ChatWithContext",
      requestType = dev.contextbridge.v1.ChatWithContextRequest.class,
      responseType = dev.contextbridge.v1.ChatWithContextResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
  public static io.grpc.MethodDescriptor<dev.contextbridge.v1.ChatWithContextRequest,
      dev.contextbridge.v1.ChatWithContextResponse> getChatWithContextMethod() {
    io.grpc.MethodDescriptor<dev.contextbridge.v1.ChatWithContextRequest, dev.contextbridge.v1.ChatWithContextResponse> getChatWithContextMethod;
    if ((getChatWithContextMethod = ContextServiceGrpc.getChatWithContextMethod) == null) {
      synchronized (ContextServiceGrpc.class) {
        if ((getChatWithContextMethod = ContextServiceGrpc.getChatWithContextMethod) == null) {
          ContextServiceGrpc.getChatWithContextMethod = getChatWithContextMethod =
              io.grpc.MethodDescriptor.<dev.contextbridge.v1.ChatWithContextRequest, dev.contextbridge.v1.ChatWithContextResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ChatWithContext"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.contextbridge.v1.ChatWithContextRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.contextbridge.v1.ChatWithContextResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ContextServiceMethodDescriptorSupplier("ChatWithContext"))
              .build();
        }
      }
    }
    return getChatWithContextMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.contextbridge.v1.ChatWithContextRequest,
      dev.contextbridge.v1.CompleteChatWithContextResponse> getCompleteChatWithContextMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "CompleteChatWithContext",
      requestType = dev.contextbridge.v1.ChatWithContextRequest.class,
      responseType = dev.contextbridge.v1.CompleteChatWithContextResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.contextbridge.v1.ChatWithContextRequest,
      dev.contextbridge.v1.CompleteChatWithContextResponse> getCompleteChatWithContextMethod() {
    io.grpc.MethodDescriptor<dev.contextbridge.v1.ChatWithContextRequest, dev.contextbridge.v1.CompleteChatWithContextResponse> getCompleteChatWithContextMethod;
    if ((getCompleteChatWithContextMethod = ContextServiceGrpc.getCompleteChatWithContextMethod) == null) {
      synchronized (ContextServiceGrpc.class) {
        if ((getCompleteChatWithContextMethod = ContextServiceGrpc.getCompleteChatWithContextMethod) == null) {
          ContextServiceGrpc.getCompleteChatWithContextMethod = getCompleteChatWithContextMethod =
              io.grpc.MethodDescriptor.<dev.contextbridge.v1.ChatWithContextRequest, dev.contextbridge.v1.CompleteChatWithContextResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "CompleteChatWithContext"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.contextbridge.v1.ChatWithContextRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.contextbridge.v1.CompleteChatWithContextResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ContextServiceMethodDescriptorSupplier("CompleteChatWithContext"))
              .build();
        }
      }
    }
    return getCompleteChatWithContextMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static ContextServiceStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ContextServiceStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ContextServiceStub>() {
        @java.lang.Override
        public ContextServiceStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ContextServiceStub(channel, callOptions);
        }
      };
    return ContextServiceStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static ContextServiceBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ContextServiceBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ContextServiceBlockingV2Stub>() {
        @java.lang.Override
        public ContextServiceBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ContextServiceBlockingV2Stub(channel, callOptions);
        }
      };
    return ContextServiceBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static ContextServiceBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ContextServiceBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ContextServiceBlockingStub>() {
        @java.lang.Override
        public ContextServiceBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ContextServiceBlockingStub(channel, callOptions);
        }
      };
    return ContextServiceBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static ContextServiceFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ContextServiceFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ContextServiceFutureStub>() {
        @java.lang.Override
        public ContextServiceFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ContextServiceFutureStub(channel, callOptions);
        }
      };
    return ContextServiceFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * Contexts, and chats that start from them.
   * A resource of the server's own (a context) is identified by `id`, a resource of Gemini's API (a
   * cached content, a file) by `name`, as Google's API has it. No message has both.
   * Every failure is a status with one ErrorInfo (domain `contextbridge.dev`, reasons in
   * error_reason.proto), never an event. Errors common to all: INVALID_ARGUMENT with every field
   * violation at once, UNAUTHENTICATED, RESOURCE_EXHAUSTED with RetryInfo where waiting helps,
   * UNAVAILABLE, DEADLINE_EXCEEDED.
   * </pre>
   */
  public interface AsyncService {

    /**
     * <pre>
     * Makes a context from messages. Upstream charges for it from now until its binding lapses.
     * Not idempotent without `idempotency_key`: a repeated call makes, and pays for, a second binding.
     * Errors: INVALID_ARGUMENT (the messages are too few tokens to cache: CACHE_TOO_SMALL),
     * NOT_FOUND (no such model).
     * </pre>
     */
    default void createContext(dev.contextbridge.v1.CreateContextRequest request,
        io.grpc.stub.StreamObserver<dev.contextbridge.v1.CreateContextResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getCreateContextMethod(), responseObserver);
    }

    /**
     * <pre>
     * Returns a context. Errors: NOT_FOUND; UNIMPLEMENTED where the server keeps no store.
     * </pre>
     */
    default void getContext(dev.contextbridge.v1.GetContextRequest request,
        io.grpc.stub.StreamObserver<dev.contextbridge.v1.GetContextResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getGetContextMethod(), responseObserver);
    }

    /**
     * <pre>
     * Lists the caller's contexts, the newest first.
     * Errors: UNIMPLEMENTED where the server keeps no store.
     * </pre>
     */
    default void listContexts(dev.contextbridge.v1.ListContextsRequest request,
        io.grpc.stub.StreamObserver<dev.contextbridge.v1.ListContextsResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getListContextsMethod(), responseObserver);
    }

    /**
     * <pre>
     * Changes how long a context and its binding live, or its name. A `ttl` moves upstream's expiry
     * where upstream can; where it cannot, the next binding gets it.
     * Errors: NOT_FOUND; UNIMPLEMENTED where the server keeps no store.
     * </pre>
     */
    default void updateContext(dev.contextbridge.v1.UpdateContextRequest request,
        io.grpc.stub.StreamObserver<dev.contextbridge.v1.UpdateContextResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getUpdateContextMethod(), responseObserver);
    }

    /**
     * <pre>
     * Deletes a context and what was stored of it, and upstream's cache where upstream can.
     * Errors: NOT_FOUND; UNIMPLEMENTED where the server keeps no store.
     * </pre>
     */
    default void deleteContext(dev.contextbridge.v1.DeleteContextRequest request,
        io.grpc.stub.StreamObserver<dev.contextbridge.v1.DeleteContextResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getDeleteContextMethod(), responseObserver);
    }

    /**
     * <pre>
     * Continues from a context and streams the answer.
     * `started` comes first and `completed` last, exactly once each, on every success; a stream
     * without `completed` failed, and its status says how. Cancelling ends upstream's work, unless
     * others share it (`response_cache`) or it is kept to be resumed (`idempotency_key`).
     * Errors: NOT_FOUND (CONTEXT_NOT_FOUND, CACHE_NOT_FOUND, CACHE_EXPIRED, MODEL_NOT_FOUND),
     * ABORTED with RetryInfo (CONTEXT_BUSY: another call holds the session); with
     * `idempotency_key`: ALREADY_EXISTS (IDEMPOTENCY_KEY_REUSED), OUT_OF_RANGE (NOT_RESUMABLE), ABORTED
     * (GENERATION_ABANDONED).
     * </pre>
     */
    default void chatWithContext(dev.contextbridge.v1.ChatWithContextRequest request,
        io.grpc.stub.StreamObserver<dev.contextbridge.v1.ChatWithContextResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getChatWithContextMethod(), responseObserver);
    }

    /**
     * <pre>
     * Continues from a context and returns the whole answer at once: ChatWithContext's unary twin.
     * </pre>
     */
    default void completeChatWithContext(dev.contextbridge.v1.ChatWithContextRequest request,
        io.grpc.stub.StreamObserver<dev.contextbridge.v1.CompleteChatWithContextResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getCompleteChatWithContextMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service ContextService.
   * <pre>
   * Contexts, and chats that start from them.
   * A resource of the server's own (a context) is identified by `id`, a resource of Gemini's API (a
   * cached content, a file) by `name`, as Google's API has it. No message has both.
   * Every failure is a status with one ErrorInfo (domain `contextbridge.dev`, reasons in
   * error_reason.proto), never an event. Errors common to all: INVALID_ARGUMENT with every field
   * violation at once, UNAUTHENTICATED, RESOURCE_EXHAUSTED with RetryInfo where waiting helps,
   * UNAVAILABLE, DEADLINE_EXCEEDED.
   * </pre>
   */
  public static abstract class ContextServiceImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return ContextServiceGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service ContextService.
   * <pre>
   * Contexts, and chats that start from them.
   * A resource of the server's own (a context) is identified by `id`, a resource of Gemini's API (a
   * cached content, a file) by `name`, as Google's API has it. No message has both.
   * Every failure is a status with one ErrorInfo (domain `contextbridge.dev`, reasons in
   * error_reason.proto), never an event. Errors common to all: INVALID_ARGUMENT with every field
   * violation at once, UNAUTHENTICATED, RESOURCE_EXHAUSTED with RetryInfo where waiting helps,
   * UNAVAILABLE, DEADLINE_EXCEEDED.
   * </pre>
   */
  public static final class ContextServiceStub
      extends io.grpc.stub.AbstractAsyncStub<ContextServiceStub> {
    private ContextServiceStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ContextServiceStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ContextServiceStub(channel, callOptions);
    }

    /**
     * <pre>
     * Makes a context from messages. Upstream charges for it from now until its binding lapses.
     * Not idempotent without `idempotency_key`: a repeated call makes, and pays for, a second binding.
     * Errors: INVALID_ARGUMENT (the messages are too few tokens to cache: CACHE_TOO_SMALL),
     * NOT_FOUND (no such model).
     * </pre>
     */
    public void createContext(dev.contextbridge.v1.CreateContextRequest request,
        io.grpc.stub.StreamObserver<dev.contextbridge.v1.CreateContextResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getCreateContextMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Returns a context. Errors: NOT_FOUND; UNIMPLEMENTED where the server keeps no store.
     * </pre>
     */
    public void getContext(dev.contextbridge.v1.GetContextRequest request,
        io.grpc.stub.StreamObserver<dev.contextbridge.v1.GetContextResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getGetContextMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Lists the caller's contexts, the newest first.
     * Errors: UNIMPLEMENTED where the server keeps no store.
     * </pre>
     */
    public void listContexts(dev.contextbridge.v1.ListContextsRequest request,
        io.grpc.stub.StreamObserver<dev.contextbridge.v1.ListContextsResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getListContextsMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Changes how long a context and its binding live, or its name. A `ttl` moves upstream's expiry
     * where upstream can; where it cannot, the next binding gets it.
     * Errors: NOT_FOUND; UNIMPLEMENTED where the server keeps no store.
     * </pre>
     */
    public void updateContext(dev.contextbridge.v1.UpdateContextRequest request,
        io.grpc.stub.StreamObserver<dev.contextbridge.v1.UpdateContextResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getUpdateContextMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Deletes a context and what was stored of it, and upstream's cache where upstream can.
     * Errors: NOT_FOUND; UNIMPLEMENTED where the server keeps no store.
     * </pre>
     */
    public void deleteContext(dev.contextbridge.v1.DeleteContextRequest request,
        io.grpc.stub.StreamObserver<dev.contextbridge.v1.DeleteContextResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getDeleteContextMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Continues from a context and streams the answer.
     * `started` comes first and `completed` last, exactly once each, on every success; a stream
     * without `completed` failed, and its status says how. Cancelling ends upstream's work, unless
     * others share it (`response_cache`) or it is kept to be resumed (`idempotency_key`).
     * Errors: NOT_FOUND (CONTEXT_NOT_FOUND, CACHE_NOT_FOUND, CACHE_EXPIRED, MODEL_NOT_FOUND),
     * ABORTED with RetryInfo (CONTEXT_BUSY: another call holds the session); with
     * `idempotency_key`: ALREADY_EXISTS (IDEMPOTENCY_KEY_REUSED), OUT_OF_RANGE (NOT_RESUMABLE), ABORTED
     * (GENERATION_ABANDONED).
     * </pre>
     */
    public void chatWithContext(dev.contextbridge.v1.ChatWithContextRequest request,
        io.grpc.stub.StreamObserver<dev.contextbridge.v1.ChatWithContextResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncServerStreamingCall(
          getChannel().newCall(getChatWithContextMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Continues from a context and returns the whole answer at once: ChatWithContext's unary twin.
     * </pre>
     */
    public void completeChatWithContext(dev.contextbridge.v1.ChatWithContextRequest request,
        io.grpc.stub.StreamObserver<dev.contextbridge.v1.CompleteChatWithContextResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getCompleteChatWithContextMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service ContextService.
   * <pre>
   * Contexts, and chats that start from them.
   * A resource of the server's own (a context) is identified by `id`, a resource of Gemini's API (a
   * cached content, a file) by `name`, as Google's API has it. No message has both.
   * Every failure is a status with one ErrorInfo (domain `contextbridge.dev`, reasons in
   * error_reason.proto), never an event. Errors common to all: INVALID_ARGUMENT with every field
   * violation at once, UNAUTHENTICATED, RESOURCE_EXHAUSTED with RetryInfo where waiting helps,
   * UNAVAILABLE, DEADLINE_EXCEEDED.
   * </pre>
   */
  public static final class ContextServiceBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<ContextServiceBlockingV2Stub> {
    private ContextServiceBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ContextServiceBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ContextServiceBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * Makes a context from messages. Upstream charges for it from now until its binding lapses.
     * Not idempotent without `idempotency_key`: a repeated call makes, and pays for, a second binding.
     * Errors: INVALID_ARGUMENT (the messages are too few tokens to cache: CACHE_TOO_SMALL),
     * NOT_FOUND (no such model).
     * </pre>
     */
    public dev.contextbridge.v1.CreateContextResponse createContext(dev.contextbridge.v1.CreateContextRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getCreateContextMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Returns a context. Errors: NOT_FOUND; UNIMPLEMENTED where the server keeps no store.
     * </pre>
     */
    public dev.contextbridge.v1.GetContextResponse getContext(dev.contextbridge.v1.GetContextRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getGetContextMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Lists the caller's contexts, the newest first.
     * Errors: UNIMPLEMENTED where the server keeps no store.
     * </pre>
     */
    public dev.contextbridge.v1.ListContextsResponse listContexts(dev.contextbridge.v1.ListContextsRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getListContextsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Changes how long a context and its binding live, or its name. A `ttl` moves upstream's expiry
     * where upstream can; where it cannot, the next binding gets it.
     * Errors: NOT_FOUND; UNIMPLEMENTED where the server keeps no store.
     * </pre>
     */
    public dev.contextbridge.v1.UpdateContextResponse updateContext(dev.contextbridge.v1.UpdateContextRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getUpdateContextMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Deletes a context and what was stored of it, and upstream's cache where upstream can.
     * Errors: NOT_FOUND; UNIMPLEMENTED where the server keeps no store.
     * </pre>
     */
    public dev.contextbridge.v1.DeleteContextResponse deleteContext(dev.contextbridge.v1.DeleteContextRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getDeleteContextMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Continues from a context and streams the answer.
     * `started` comes first and `completed` last, exactly once each, on every success; a stream
     * without `completed` failed, and its status says how. Cancelling ends upstream's work, unless
     * others share it (`response_cache`) or it is kept to be resumed (`idempotency_key`).
     * Errors: NOT_FOUND (CONTEXT_NOT_FOUND, CACHE_NOT_FOUND, CACHE_EXPIRED, MODEL_NOT_FOUND),
     * ABORTED with RetryInfo (CONTEXT_BUSY: another call holds the session); with
     * `idempotency_key`: ALREADY_EXISTS (IDEMPOTENCY_KEY_REUSED), OUT_OF_RANGE (NOT_RESUMABLE), ABORTED
     * (GENERATION_ABANDONED).
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<?, dev.contextbridge.v1.ChatWithContextResponse>
        chatWithContext(dev.contextbridge.v1.ChatWithContextRequest request) {
      return io.grpc.stub.ClientCalls.blockingV2ServerStreamingCall(
          getChannel(), getChatWithContextMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Continues from a context and returns the whole answer at once: ChatWithContext's unary twin.
     * </pre>
     */
    public dev.contextbridge.v1.CompleteChatWithContextResponse completeChatWithContext(dev.contextbridge.v1.ChatWithContextRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getCompleteChatWithContextMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service ContextService.
   * <pre>
   * Contexts, and chats that start from them.
   * A resource of the server's own (a context) is identified by `id`, a resource of Gemini's API (a
   * cached content, a file) by `name`, as Google's API has it. No message has both.
   * Every failure is a status with one ErrorInfo (domain `contextbridge.dev`, reasons in
   * error_reason.proto), never an event. Errors common to all: INVALID_ARGUMENT with every field
   * violation at once, UNAUTHENTICATED, RESOURCE_EXHAUSTED with RetryInfo where waiting helps,
   * UNAVAILABLE, DEADLINE_EXCEEDED.
   * </pre>
   */
  public static final class ContextServiceBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<ContextServiceBlockingStub> {
    private ContextServiceBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ContextServiceBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ContextServiceBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Makes a context from messages. Upstream charges for it from now until its binding lapses.
     * Not idempotent without `idempotency_key`: a repeated call makes, and pays for, a second binding.
     * Errors: INVALID_ARGUMENT (the messages are too few tokens to cache: CACHE_TOO_SMALL),
     * NOT_FOUND (no such model).
     * </pre>
     */
    public dev.contextbridge.v1.CreateContextResponse createContext(dev.contextbridge.v1.CreateContextRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getCreateContextMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Returns a context. Errors: NOT_FOUND; UNIMPLEMENTED where the server keeps no store.
     * </pre>
     */
    public dev.contextbridge.v1.GetContextResponse getContext(dev.contextbridge.v1.GetContextRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getGetContextMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Lists the caller's contexts, the newest first.
     * Errors: UNIMPLEMENTED where the server keeps no store.
     * </pre>
     */
    public dev.contextbridge.v1.ListContextsResponse listContexts(dev.contextbridge.v1.ListContextsRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getListContextsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Changes how long a context and its binding live, or its name. A `ttl` moves upstream's expiry
     * where upstream can; where it cannot, the next binding gets it.
     * Errors: NOT_FOUND; UNIMPLEMENTED where the server keeps no store.
     * </pre>
     */
    public dev.contextbridge.v1.UpdateContextResponse updateContext(dev.contextbridge.v1.UpdateContextRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getUpdateContextMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Deletes a context and what was stored of it, and upstream's cache where upstream can.
     * Errors: NOT_FOUND; UNIMPLEMENTED where the server keeps no store.
     * </pre>
     */
    public dev.contextbridge.v1.DeleteContextResponse deleteContext(dev.contextbridge.v1.DeleteContextRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getDeleteContextMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Continues from a context and streams the answer.
     * `started` comes first and `completed` last, exactly once each, on every success; a stream
     * without `completed` failed, and its status says how. Cancelling ends upstream's work, unless
     * others share it (`response_cache`) or it is kept to be resumed (`idempotency_key`).
     * Errors: NOT_FOUND (CONTEXT_NOT_FOUND, CACHE_NOT_FOUND, CACHE_EXPIRED, MODEL_NOT_FOUND),
     * ABORTED with RetryInfo (CONTEXT_BUSY: another call holds the session); with
     * `idempotency_key`: ALREADY_EXISTS (IDEMPOTENCY_KEY_REUSED), OUT_OF_RANGE (NOT_RESUMABLE), ABORTED
     * (GENERATION_ABANDONED).
     * </pre>
     */
    public java.util.Iterator<dev.contextbridge.v1.ChatWithContextResponse> chatWithContext(
        dev.contextbridge.v1.ChatWithContextRequest request) {
      return io.grpc.stub.ClientCalls.blockingServerStreamingCall(
          getChannel(), getChatWithContextMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Continues from a context and returns the whole answer at once: ChatWithContext's unary twin.
     * </pre>
     */
    public dev.contextbridge.v1.CompleteChatWithContextResponse completeChatWithContext(dev.contextbridge.v1.ChatWithContextRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getCompleteChatWithContextMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service ContextService.
   * <pre>
   * Contexts, and chats that start from them.
   * A resource of the server's own (a context) is identified by `id`, a resource of Gemini's API (a
   * cached content, a file) by `name`, as Google's API has it. No message has both.
   * Every failure is a status with one ErrorInfo (domain `contextbridge.dev`, reasons in
   * error_reason.proto), never an event. Errors common to all: INVALID_ARGUMENT with every field
   * violation at once, UNAUTHENTICATED, RESOURCE_EXHAUSTED with RetryInfo where waiting helps,
   * UNAVAILABLE, DEADLINE_EXCEEDED.
   * </pre>
   */
  public static final class ContextServiceFutureStub
      extends io.grpc.stub.AbstractFutureStub<ContextServiceFutureStub> {
    private ContextServiceFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ContextServiceFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ContextServiceFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Makes a context from messages. Upstream charges for it from now until its binding lapses.
     * Not idempotent without `idempotency_key`: a repeated call makes, and pays for, a second binding.
     * Errors: INVALID_ARGUMENT (the messages are too few tokens to cache: CACHE_TOO_SMALL),
     * NOT_FOUND (no such model).
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.contextbridge.v1.CreateContextResponse> createContext(
        dev.contextbridge.v1.CreateContextRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getCreateContextMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Returns a context. Errors: NOT_FOUND; UNIMPLEMENTED where the server keeps no store.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.contextbridge.v1.GetContextResponse> getContext(
        dev.contextbridge.v1.GetContextRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getGetContextMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Lists the caller's contexts, the newest first.
     * Errors: UNIMPLEMENTED where the server keeps no store.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.contextbridge.v1.ListContextsResponse> listContexts(
        dev.contextbridge.v1.ListContextsRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getListContextsMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Changes how long a context and its binding live, or its name. A `ttl` moves upstream's expiry
     * where upstream can; where it cannot, the next binding gets it.
     * Errors: NOT_FOUND; UNIMPLEMENTED where the server keeps no store.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.contextbridge.v1.UpdateContextResponse> updateContext(
        dev.contextbridge.v1.UpdateContextRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getUpdateContextMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Deletes a context and what was stored of it, and upstream's cache where upstream can.
     * Errors: NOT_FOUND; UNIMPLEMENTED where the server keeps no store.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.contextbridge.v1.DeleteContextResponse> deleteContext(
        dev.contextbridge.v1.DeleteContextRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getDeleteContextMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Continues from a context and returns the whole answer at once: ChatWithContext's unary twin.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.contextbridge.v1.CompleteChatWithContextResponse> completeChatWithContext(
        dev.contextbridge.v1.ChatWithContextRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getCompleteChatWithContextMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_CREATE_CONTEXT = 0;
  private static final int METHODID_GET_CONTEXT = 1;
  private static final int METHODID_LIST_CONTEXTS = 2;
  private static final int METHODID_UPDATE_CONTEXT = 3;
  private static final int METHODID_DELETE_CONTEXT = 4;
  private static final int METHODID_CHAT_WITH_CONTEXT = 5;
  private static final int METHODID_COMPLETE_CHAT_WITH_CONTEXT = 6;

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
        case METHODID_CREATE_CONTEXT:
          serviceImpl.createContext((dev.contextbridge.v1.CreateContextRequest) request,
              (io.grpc.stub.StreamObserver<dev.contextbridge.v1.CreateContextResponse>) responseObserver);
          break;
        case METHODID_GET_CONTEXT:
          serviceImpl.getContext((dev.contextbridge.v1.GetContextRequest) request,
              (io.grpc.stub.StreamObserver<dev.contextbridge.v1.GetContextResponse>) responseObserver);
          break;
        case METHODID_LIST_CONTEXTS:
          serviceImpl.listContexts((dev.contextbridge.v1.ListContextsRequest) request,
              (io.grpc.stub.StreamObserver<dev.contextbridge.v1.ListContextsResponse>) responseObserver);
          break;
        case METHODID_UPDATE_CONTEXT:
          serviceImpl.updateContext((dev.contextbridge.v1.UpdateContextRequest) request,
              (io.grpc.stub.StreamObserver<dev.contextbridge.v1.UpdateContextResponse>) responseObserver);
          break;
        case METHODID_DELETE_CONTEXT:
          serviceImpl.deleteContext((dev.contextbridge.v1.DeleteContextRequest) request,
              (io.grpc.stub.StreamObserver<dev.contextbridge.v1.DeleteContextResponse>) responseObserver);
          break;
        case METHODID_CHAT_WITH_CONTEXT:
          serviceImpl.chatWithContext((dev.contextbridge.v1.ChatWithContextRequest) request,
              (io.grpc.stub.StreamObserver<dev.contextbridge.v1.ChatWithContextResponse>) responseObserver);
          break;
        case METHODID_COMPLETE_CHAT_WITH_CONTEXT:
          serviceImpl.completeChatWithContext((dev.contextbridge.v1.ChatWithContextRequest) request,
              (io.grpc.stub.StreamObserver<dev.contextbridge.v1.CompleteChatWithContextResponse>) responseObserver);
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
          getCreateContextMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.contextbridge.v1.CreateContextRequest,
              dev.contextbridge.v1.CreateContextResponse>(
                service, METHODID_CREATE_CONTEXT)))
        .addMethod(
          getGetContextMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.contextbridge.v1.GetContextRequest,
              dev.contextbridge.v1.GetContextResponse>(
                service, METHODID_GET_CONTEXT)))
        .addMethod(
          getListContextsMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.contextbridge.v1.ListContextsRequest,
              dev.contextbridge.v1.ListContextsResponse>(
                service, METHODID_LIST_CONTEXTS)))
        .addMethod(
          getUpdateContextMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.contextbridge.v1.UpdateContextRequest,
              dev.contextbridge.v1.UpdateContextResponse>(
                service, METHODID_UPDATE_CONTEXT)))
        .addMethod(
          getDeleteContextMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.contextbridge.v1.DeleteContextRequest,
              dev.contextbridge.v1.DeleteContextResponse>(
                service, METHODID_DELETE_CONTEXT)))
        .addMethod(
          getChatWithContextMethod(),
          io.grpc.stub.ServerCalls.asyncServerStreamingCall(
            new MethodHandlers<
              dev.contextbridge.v1.ChatWithContextRequest,
              dev.contextbridge.v1.ChatWithContextResponse>(
                service, METHODID_CHAT_WITH_CONTEXT)))
        .addMethod(
          getCompleteChatWithContextMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.contextbridge.v1.ChatWithContextRequest,
              dev.contextbridge.v1.CompleteChatWithContextResponse>(
                service, METHODID_COMPLETE_CHAT_WITH_CONTEXT)))
        .build();
  }

  private static abstract class ContextServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    ContextServiceBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return dev.contextbridge.v1.ContextServiceProto.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("ContextService");
    }
  }

  private static final class ContextServiceFileDescriptorSupplier
      extends ContextServiceBaseDescriptorSupplier {
    ContextServiceFileDescriptorSupplier() {}
  }

  private static final class ContextServiceMethodDescriptorSupplier
      extends ContextServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    ContextServiceMethodDescriptorSupplier(java.lang.String methodName) {
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
      synchronized (ContextServiceGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new ContextServiceFileDescriptorSupplier())
              .addMethod(getCreateContextMethod())
              .addMethod(getGetContextMethod())
              .addMethod(getListContextsMethod())
              .addMethod(getUpdateContextMethod())
              .addMethod(getDeleteContextMethod())
              .addMethod(getChatWithContextMethod())
              .addMethod(getCompleteChatWithContextMethod())
              .build();
        }
      }
    }
    return result;
  }
}
