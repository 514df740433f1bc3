package dev.contextbridge.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * Gemini's cached contents.
 * Every failure is a status with one ErrorInfo (domain `contextbridge.dev`, reasons in
 * error_reason.proto). A cached content that is missing, has ended or belongs to another account
 * is NOT_FOUND (CACHE_NOT_FOUND or CACHE_EXPIRED) on every call that names it.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class CachedContentServiceGrpc {

  private CachedContentServiceGrpc() {}

  public static final java.lang.String SERVICE_NAME = "contextbridge.v1.CachedContentService";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<dev.contextbridge.v1.CreateCachedContentRequest,
      dev.contextbridge.v1.CreateCachedContentResponse> getCreateCachedContentMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "CreateCachedContent",
      requestType = dev.contextbridge.v1.CreateCachedContentRequest.class,
      responseType = dev.contextbridge.v1.CreateCachedContentResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.contextbridge.v1.CreateCachedContentRequest,
      dev.contextbridge.v1.CreateCachedContentResponse> getCreateCachedContentMethod() {
    io.grpc.MethodDescriptor<dev.contextbridge.v1.CreateCachedContentRequest, dev.contextbridge.v1.CreateCachedContentResponse> getCreateCachedContentMethod;
    if ((getCreateCachedContentMethod = CachedContentServiceGrpc.getCreateCachedContentMethod) == null) {
      synchronized (CachedContentServiceGrpc.class) {
        if ((getCreateCachedContentMethod = CachedContentServiceGrpc.getCreateCachedContentMethod) == null) {
          CachedContentServiceGrpc.getCreateCachedContentMethod = getCreateCachedContentMethod =
              io.grpc.MethodDescriptor.<dev.contextbridge.v1.CreateCachedContentRequest, dev.contextbridge.v1.CreateCachedContentResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "CreateCachedContent"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.contextbridge.v1.CreateCachedContentRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.contextbridge.v1.CreateCachedContentResponse.getDefaultInstance()))
              .setSchemaDescriptor(new CachedContentServiceMethodDescriptorSupplier("CreateCachedContent"))
              .build();
        }
      }
    }
    return getCreateCachedContentMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.contextbridge.v1.GetCachedContentRequest,
      dev.contextbridge.v1.GetCachedContentResponse> getGetCachedContentMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "GetCachedContent",
      requestType = dev.contextbridge.v1.GetCachedContentRequest.class,
      responseType = dev.contextbridge.v1.GetCachedContentResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.contextbridge.v1.GetCachedContentRequest,
      dev.contextbridge.v1.GetCachedContentResponse> getGetCachedContentMethod() {
    io.grpc.MethodDescriptor<dev.contextbridge.v1.GetCachedContentRequest, dev.contextbridge.v1.GetCachedContentResponse> getGetCachedContentMethod;
    if ((getGetCachedContentMethod = CachedContentServiceGrpc.getGetCachedContentMethod) == null) {
      synchronized (CachedContentServiceGrpc.class) {
        if ((getGetCachedContentMethod = CachedContentServiceGrpc.getGetCachedContentMethod) == null) {
          CachedContentServiceGrpc.getGetCachedContentMethod = getGetCachedContentMethod =
              io.grpc.MethodDescriptor.<dev.contextbridge.v1.GetCachedContentRequest, dev.contextbridge.v1.GetCachedContentResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "GetCachedContent"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.contextbridge.v1.GetCachedContentRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.contextbridge.v1.GetCachedContentResponse.getDefaultInstance()))
              .setSchemaDescriptor(new CachedContentServiceMethodDescriptorSupplier("GetCachedContent"))
              .build();
        }
      }
    }
    return getGetCachedContentMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.contextbridge.v1.ListCachedContentsRequest,
      dev.contextbridge.v1.ListCachedContentsResponse> getListCachedContentsMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ListCachedContents",
      requestType = dev.contextbridge.v1.ListCachedContentsRequest.class,
      responseType = dev.contextbridge.v1.ListCachedContentsResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.contextbridge.v1.ListCachedContentsRequest,
      dev.contextbridge.v1.ListCachedContentsResponse> getListCachedContentsMethod() {
    io.grpc.MethodDescriptor<dev.contextbridge.v1.ListCachedContentsRequest, dev.contextbridge.v1.ListCachedContentsResponse> getListCachedContentsMethod;
    if ((getListCachedContentsMethod = CachedContentServiceGrpc.getListCachedContentsMethod) == null) {
      synchronized (CachedContentServiceGrpc.class) {
        if ((getListCachedContentsMethod = CachedContentServiceGrpc.getListCachedContentsMethod) == null) {
          CachedContentServiceGrpc.getListCachedContentsMethod = getListCachedContentsMethod =
              io.grpc.MethodDescriptor.<dev.contextbridge.v1.ListCachedContentsRequest, dev.contextbridge.v1.ListCachedContentsResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ListCachedContents"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.contextbridge.v1.ListCachedContentsRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.contextbridge.v1.ListCachedContentsResponse.getDefaultInstance()))
              .setSchemaDescriptor(new CachedContentServiceMethodDescriptorSupplier("ListCachedContents"))
              .build();
        }
      }
    }
    return getListCachedContentsMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.contextbridge.v1.UpdateCachedContentRequest,
      dev.contextbridge.v1.UpdateCachedContentResponse> getUpdateCachedContentMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "UpdateCachedContent",
      requestType = dev.contextbridge.v1.UpdateCachedContentRequest.class,
      responseType = dev.contextbridge.v1.UpdateCachedContentResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.contextbridge.v1.UpdateCachedContentRequest,
      dev.contextbridge.v1.UpdateCachedContentResponse> getUpdateCachedContentMethod() {
    io.grpc.MethodDescriptor<dev.contextbridge.v1.UpdateCachedContentRequest, dev.contextbridge.v1.UpdateCachedContentResponse> getUpdateCachedContentMethod;
    if ((getUpdateCachedContentMethod = CachedContentServiceGrpc.getUpdateCachedContentMethod) == null) {
      synchronized (CachedContentServiceGrpc.class) {
        if ((getUpdateCachedContentMethod = CachedContentServiceGrpc.getUpdateCachedContentMethod) == null) {
          CachedContentServiceGrpc.getUpdateCachedContentMethod = getUpdateCachedContentMethod =
              io.grpc.MethodDescriptor.<dev.contextbridge.v1.UpdateCachedContentRequest, dev.contextbridge.v1.UpdateCachedContentResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "UpdateCachedContent"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.contextbridge.v1.UpdateCachedContentRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.contextbridge.v1.UpdateCachedContentResponse.getDefaultInstance()))
              .setSchemaDescriptor(new CachedContentServiceMethodDescriptorSupplier("UpdateCachedContent"))
              .build();
        }
      }
    }
    return getUpdateCachedContentMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.contextbridge.v1.DeleteCachedContentRequest,
      dev.contextbridge.v1.DeleteCachedContentResponse> getDeleteCachedContentMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "DeleteCachedContent",
      requestType = dev.contextbridge.v1.DeleteCachedContentRequest.class,
      responseType = dev.contextbridge.v1.DeleteCachedContentResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.contextbridge.v1.DeleteCachedContentRequest,
      dev.contextbridge.v1.DeleteCachedContentResponse> getDeleteCachedContentMethod() {
    io.grpc.MethodDescriptor<dev.contextbridge.v1.DeleteCachedContentRequest, dev.contextbridge.v1.DeleteCachedContentResponse> getDeleteCachedContentMethod;
    if ((getDeleteCachedContentMethod = CachedContentServiceGrpc.getDeleteCachedContentMethod) == null) {
      synchronized (CachedContentServiceGrpc.class) {
        if ((getDeleteCachedContentMethod = CachedContentServiceGrpc.getDeleteCachedContentMethod) == null) {
          CachedContentServiceGrpc.getDeleteCachedContentMethod = getDeleteCachedContentMethod =
              io.grpc.MethodDescriptor.<dev.contextbridge.v1.DeleteCachedContentRequest, dev.contextbridge.v1.DeleteCachedContentResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "DeleteCachedContent"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.contextbridge.v1.DeleteCachedContentRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.contextbridge.v1.DeleteCachedContentResponse.getDefaultInstance()))
              .setSchemaDescriptor(new CachedContentServiceMethodDescriptorSupplier("DeleteCachedContent"))
              .build();
        }
      }
    }
    return getDeleteCachedContentMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static CachedContentServiceStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<CachedContentServiceStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<CachedContentServiceStub>() {
        @java.lang.Override
        public CachedContentServiceStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new CachedContentServiceStub(channel, callOptions);
        }
      };
    return CachedContentServiceStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static CachedContentServiceBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<CachedContentServiceBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<CachedContentServiceBlockingV2Stub>() {
        @java.lang.Override
        public CachedContentServiceBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new CachedContentServiceBlockingV2Stub(channel, callOptions);
        }
      };
    return CachedContentServiceBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static CachedContentServiceBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<CachedContentServiceBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<CachedContentServiceBlockingStub>() {
        @java.lang.Override
        public CachedContentServiceBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new CachedContentServiceBlockingStub(channel, callOptions);
        }
      };
    return CachedContentServiceBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static CachedContentServiceFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<CachedContentServiceFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<CachedContentServiceFutureStub>() {
        @java.lang.Override
        public CachedContentServiceFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new CachedContentServiceFutureStub(channel, callOptions);
        }
      };
    return CachedContentServiceFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * Gemini's cached contents.
   * Every failure is a status with one ErrorInfo (domain `contextbridge.dev`, reasons in
   * error_reason.proto). A cached content that is missing, has ended or belongs to another account
   * is NOT_FOUND (CACHE_NOT_FOUND or CACHE_EXPIRED) on every call that names it.
   * </pre>
   */
  public interface AsyncService {

    /**
     * <pre>
     * Makes a cached content. Upstream charges for it from now until it ends.
     * Not idempotent. Errors: INVALID_ARGUMENT (too few tokens to cache: CACHE_TOO_SMALL).
     * </pre>
     */
    default void createCachedContent(dev.contextbridge.v1.CreateCachedContentRequest request,
        io.grpc.stub.StreamObserver<dev.contextbridge.v1.CreateCachedContentResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getCreateCachedContentMethod(), responseObserver);
    }

    /**
     * <pre>
     * Returns a cached content's metadata; its content cannot be read back.
     * </pre>
     */
    default void getCachedContent(dev.contextbridge.v1.GetCachedContentRequest request,
        io.grpc.stub.StreamObserver<dev.contextbridge.v1.GetCachedContentResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getGetCachedContentMethod(), responseObserver);
    }

    /**
     * <pre>
     * Lists the metadata of the cached contents that are the caller's to see. What is another
     * tenant's is left out, so a page may hold fewer than asked for, or none, and have a next one.
     * </pre>
     */
    default void listCachedContents(dev.contextbridge.v1.ListCachedContentsRequest request,
        io.grpc.stub.StreamObserver<dev.contextbridge.v1.ListCachedContentsResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getListCachedContentsMethod(), responseObserver);
    }

    /**
     * <pre>
     * Changes when a cached content ends. Nothing else can be changed.
     * </pre>
     */
    default void updateCachedContent(dev.contextbridge.v1.UpdateCachedContentRequest request,
        io.grpc.stub.StreamObserver<dev.contextbridge.v1.UpdateCachedContentResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getUpdateCachedContentMethod(), responseObserver);
    }

    /**
     * <pre>
     * Deletes a cached content.
     * </pre>
     */
    default void deleteCachedContent(dev.contextbridge.v1.DeleteCachedContentRequest request,
        io.grpc.stub.StreamObserver<dev.contextbridge.v1.DeleteCachedContentResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getDeleteCachedContentMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service CachedContentService.
   * <pre>
   * Gemini's cached contents.
   * Every failure is a status with one ErrorInfo (domain `contextbridge.dev`, reasons in
   * error_reason.proto). A cached content that is missing, has ended or belongs to another account
   * is NOT_FOUND (CACHE_NOT_FOUND or CACHE_EXPIRED) on every call that names it.
   * </pre>
   */
  public static abstract class CachedContentServiceImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return CachedContentServiceGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service CachedContentService.
   * <pre>
   * Gemini's cached contents.
   * Every failure is a status with one ErrorInfo (domain `contextbridge.dev`, reasons in
   * error_reason.proto). A cached content that is missing, has ended or belongs to another account
   * is NOT_FOUND (CACHE_NOT_FOUND or CACHE_EXPIRED) on every call that names it.
   * </pre>
   */
  public static final class CachedContentServiceStub
      extends io.grpc.stub.AbstractAsyncStub<CachedContentServiceStub> {
    private CachedContentServiceStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected CachedContentServiceStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new CachedContentServiceStub(channel, callOptions);
    }

    /**
     * <pre>
     * Makes a cached content. Upstream charges for it from now until it ends.
     * Not idempotent. Errors: INVALID_ARGUMENT (too few tokens to cache: CACHE_TOO_SMALL).
     * </pre>
     */
    public void createCachedContent(dev.contextbridge.v1.CreateCachedContentRequest request,
        io.grpc.stub.StreamObserver<dev.contextbridge.v1.CreateCachedContentResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getCreateCachedContentMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Returns a cached content's metadata; its content cannot be read back.
     * </pre>
     */
    public void getCachedContent(dev.contextbridge.v1.GetCachedContentRequest request,
        io.grpc.stub.StreamObserver<dev.contextbridge.v1.GetCachedContentResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getGetCachedContentMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Lists the metadata of the cached contents that are the caller's to see. What is another
     * tenant's is left out, so a page may hold fewer than asked for, or none, and have a next one.
     * </pre>
     */
    public void listCachedContents(dev.contextbridge.v1.ListCachedContentsRequest request,
        io.grpc.stub.StreamObserver<dev.contextbridge.v1.ListCachedContentsResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getListCachedContentsMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Changes when a cached content ends. Nothing else can be changed.
     * </pre>
     */
    public void updateCachedContent(dev.contextbridge.v1.UpdateCachedContentRequest request,
        io.grpc.stub.StreamObserver<dev.contextbridge.v1.UpdateCachedContentResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getUpdateCachedContentMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Deletes a cached content.
     * </pre>
     */
    public void deleteCachedContent(dev.contextbridge.v1.DeleteCachedContentRequest request,
        io.grpc.stub.StreamObserver<dev.contextbridge.v1.DeleteCachedContentResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getDeleteCachedContentMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service CachedContentService.
   * <pre>
   * Gemini's cached contents.
   * Every failure is a status with one ErrorInfo (domain `contextbridge.dev`, reasons in
   * error_reason.proto). A cached content that is missing, has ended or belongs to another account
   * is NOT_FOUND (CACHE_NOT_FOUND or CACHE_EXPIRED) on every call that names it.
   * </pre>
   */
  public static final class CachedContentServiceBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<CachedContentServiceBlockingV2Stub> {
    private CachedContentServiceBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected CachedContentServiceBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new CachedContentServiceBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * Makes a cached content. Upstream charges for it from now until it ends.
     * Not idempotent. Errors: INVALID_ARGUMENT (too few tokens to cache: CACHE_TOO_SMALL).
     * </pre>
     */
    public dev.contextbridge.v1.CreateCachedContentResponse createCachedContent(dev.contextbridge.v1.CreateCachedContentRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getCreateCachedContentMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Returns a cached content's metadata; its content cannot be read back.
     * </pre>
     */
    public dev.contextbridge.v1.GetCachedContentResponse getCachedContent(dev.contextbridge.v1.GetCachedContentRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getGetCachedContentMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Lists the metadata of the cached contents that are the caller's to see. What is another
     * tenant's is left out, so a page may hold fewer than asked for, or none, and have a next one.
     * </pre>
     */
    public dev.contextbridge.v1.ListCachedContentsResponse listCachedContents(dev.contextbridge.v1.ListCachedContentsRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getListCachedContentsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Changes when a cached content ends. Nothing else can be changed.
     * </pre>
     */
    public dev.contextbridge.v1.UpdateCachedContentResponse updateCachedContent(dev.contextbridge.v1.UpdateCachedContentRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getUpdateCachedContentMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Deletes a cached content.
     * </pre>
     */
    public dev.contextbridge.v1.DeleteCachedContentResponse deleteCachedContent(dev.contextbridge.v1.DeleteCachedContentRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getDeleteCachedContentMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service CachedContentService.
   * <pre>
   * Gemini's cached contents.
   * Every failure is a status with one ErrorInfo (domain `contextbridge.dev`, reasons in
   * error_reason.proto). A cached content that is missing, has ended or belongs to another account
   * is NOT_FOUND (CACHE_NOT_FOUND or CACHE_EXPIRED) on every call that names it.
   * </pre>
   */
  public static final class CachedContentServiceBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<CachedContentServiceBlockingStub> {
    private CachedContentServiceBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected CachedContentServiceBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new CachedContentServiceBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Makes a cached content. Upstream charges for it from now until it ends.
     * Not idempotent. Errors: INVALID_ARGUMENT (too few tokens to cache: CACHE_TOO_SMALL).
     * </pre>
     */
    public dev.contextbridge.v1.CreateCachedContentResponse createCachedContent(dev.contextbridge.v1.CreateCachedContentRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getCreateCachedContentMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Returns a cached content's metadata; its content cannot be read back.
     * </pre>
     */
    public dev.contextbridge.v1.GetCachedContentResponse getCachedContent(dev.contextbridge.v1.GetCachedContentRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getGetCachedContentMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Lists the metadata of the cached contents that are the caller's to see. What is another
     * tenant's is left out, so a page may hold fewer than asked for, or none, and have a next one.
     * </pre>
     */
    public dev.contextbridge.v1.ListCachedContentsResponse listCachedContents(dev.contextbridge.v1.ListCachedContentsRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getListCachedContentsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Changes when a cached content ends. Nothing else can be changed.
     * </pre>
     */
    public dev.contextbridge.v1.UpdateCachedContentResponse updateCachedContent(dev.contextbridge.v1.UpdateCachedContentRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getUpdateCachedContentMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Deletes a cached content.
     * </pre>
     */
    public dev.contextbridge.v1.DeleteCachedContentResponse deleteCachedContent(dev.contextbridge.v1.DeleteCachedContentRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getDeleteCachedContentMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service CachedContentService.
   * <pre>
   * Gemini's cached contents.
   * Every failure is a status with one ErrorInfo (domain `contextbridge.dev`, reasons in
   * error_reason.proto). A cached content that is missing, has ended or belongs to another account
   * is NOT_FOUND (CACHE_NOT_FOUND or CACHE_EXPIRED) on every call that names it.
   * </pre>
   */
  public static final class CachedContentServiceFutureStub
      extends io.grpc.stub.AbstractFutureStub<CachedContentServiceFutureStub> {
    private CachedContentServiceFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected CachedContentServiceFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new CachedContentServiceFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Makes a cached content. Upstream charges for it from now until it ends.
     * Not idempotent. Errors: INVALID_ARGUMENT (too few tokens to cache: CACHE_TOO_SMALL).
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.contextbridge.v1.CreateCachedContentResponse> createCachedContent(
        dev.contextbridge.v1.CreateCachedContentRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getCreateCachedContentMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Returns a cached content's metadata; its content cannot be read back.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.contextbridge.v1.GetCachedContentResponse> getCachedContent(
        dev.contextbridge.v1.GetCachedContentRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getGetCachedContentMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Lists the metadata of the cached contents that are the caller's to see. What is another
     * tenant's is left out, so a page may hold fewer than asked for, or none, and have a next one.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.contextbridge.v1.ListCachedContentsResponse> listCachedContents(
        dev.contextbridge.v1.ListCachedContentsRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getListCachedContentsMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Changes when a cached content ends. Nothing else can be changed.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.contextbridge.v1.UpdateCachedContentResponse> updateCachedContent(
        dev.contextbridge.v1.UpdateCachedContentRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getUpdateCachedContentMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Deletes a cached content.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.contextbridge.v1.DeleteCachedContentResponse> deleteCachedContent(
        dev.contextbridge.v1.DeleteCachedContentRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getDeleteCachedContentMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_CREATE_CACHED_CONTENT = 0;
  private static final int METHODID_GET_CACHED_CONTENT = 1;
  private static final int METHODID_LIST_CACHED_CONTENTS = 2;
  private static final int METHODID_UPDATE_CACHED_CONTENT = 3;
  private static final int METHODID_DELETE_CACHED_CONTENT = 4;

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
        case METHODID_CREATE_CACHED_CONTENT:
          serviceImpl.createCachedContent((dev.contextbridge.v1.CreateCachedContentRequest) request,
              (io.grpc.stub.StreamObserver<dev.contextbridge.v1.CreateCachedContentResponse>) responseObserver);
          break;
        case METHODID_GET_CACHED_CONTENT:
          serviceImpl.getCachedContent((dev.contextbridge.v1.GetCachedContentRequest) request,
              (io.grpc.stub.StreamObserver<dev.contextbridge.v1.GetCachedContentResponse>) responseObserver);
          break;
        case METHODID_LIST_CACHED_CONTENTS:
          serviceImpl.listCachedContents((dev.contextbridge.v1.ListCachedContentsRequest) request,
              (io.grpc.stub.StreamObserver<dev.contextbridge.v1.ListCachedContentsResponse>) responseObserver);
          break;
        case METHODID_UPDATE_CACHED_CONTENT:
          serviceImpl.updateCachedContent((dev.contextbridge.v1.UpdateCachedContentRequest) request,
              (io.grpc.stub.StreamObserver<dev.contextbridge.v1.UpdateCachedContentResponse>) responseObserver);
          break;
        case METHODID_DELETE_CACHED_CONTENT:
          serviceImpl.deleteCachedContent((dev.contextbridge.v1.DeleteCachedContentRequest) request,
              (io.grpc.stub.StreamObserver<dev.contextbridge.v1.DeleteCachedContentResponse>) responseObserver);
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
          getCreateCachedContentMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.contextbridge.v1.CreateCachedContentRequest,
              dev.contextbridge.v1.CreateCachedContentResponse>(
                service, METHODID_CREATE_CACHED_CONTENT)))
        .addMethod(
          getGetCachedContentMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.contextbridge.v1.GetCachedContentRequest,
              dev.contextbridge.v1.GetCachedContentResponse>(
                service, METHODID_GET_CACHED_CONTENT)))
        .addMethod(
          getListCachedContentsMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.contextbridge.v1.ListCachedContentsRequest,
              dev.contextbridge.v1.ListCachedContentsResponse>(
                service, METHODID_LIST_CACHED_CONTENTS)))
        .addMethod(
          getUpdateCachedContentMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.contextbridge.v1.UpdateCachedContentRequest,
              dev.contextbridge.v1.UpdateCachedContentResponse>(
                service, METHODID_UPDATE_CACHED_CONTENT)))
        .addMethod(
          getDeleteCachedContentMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.contextbridge.v1.DeleteCachedContentRequest,
              dev.contextbridge.v1.DeleteCachedContentResponse>(
                service, METHODID_DELETE_CACHED_CONTENT)))
        .build();
  }

  private static abstract class CachedContentServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    CachedContentServiceBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return dev.contextbridge.v1.CachedContentServiceProto.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("CachedContentService");
    }
  }

  private static final class CachedContentServiceFileDescriptorSupplier
      extends CachedContentServiceBaseDescriptorSupplier {
    CachedContentServiceFileDescriptorSupplier() {}
  }

  private static final class CachedContentServiceMethodDescriptorSupplier
      extends CachedContentServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    CachedContentServiceMethodDescriptorSupplier(java.lang.String methodName) {
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
      synchronized (CachedContentServiceGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new CachedContentServiceFileDescriptorSupplier())
              .addMethod(getCreateCachedContentMethod())
              .addMethod(getGetCachedContentMethod())
              .addMethod(getListCachedContentsMethod())
              .addMethod(getUpdateCachedContentMethod())
              .addMethod(getDeleteCachedContentMethod())
              .build();
        }
      }
    }
    return result;
  }
}
