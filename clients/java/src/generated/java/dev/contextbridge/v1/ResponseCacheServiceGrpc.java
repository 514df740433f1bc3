package dev.contextbridge.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * The answers that are kept for a tenant, and what they have saved. Calls use them by
 * `response_cache` of their requests.
 * Errors common to all: UNIMPLEMENTED (STORE_REQUIRED) where the server keeps no store, UNAVAILABLE
 * (STORE_UNAVAILABLE) where it is away.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class ResponseCacheServiceGrpc {

  private ResponseCacheServiceGrpc() {}

  public static final java.lang.String SERVICE_NAME = "contextbridge.v1.ResponseCacheService";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<dev.contextbridge.v1.DeleteCachedResponsesRequest,
      dev.contextbridge.v1.DeleteCachedResponsesResponse> getDeleteCachedResponsesMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "DeleteCachedResponses",
      requestType = dev.contextbridge.v1.DeleteCachedResponsesRequest.class,
      responseType = dev.contextbridge.v1.DeleteCachedResponsesResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.contextbridge.v1.DeleteCachedResponsesRequest,
      dev.contextbridge.v1.DeleteCachedResponsesResponse> getDeleteCachedResponsesMethod() {
    io.grpc.MethodDescriptor<dev.contextbridge.v1.DeleteCachedResponsesRequest, dev.contextbridge.v1.DeleteCachedResponsesResponse> getDeleteCachedResponsesMethod;
    if ((getDeleteCachedResponsesMethod = ResponseCacheServiceGrpc.getDeleteCachedResponsesMethod) == null) {
      synchronized (ResponseCacheServiceGrpc.class) {
        if ((getDeleteCachedResponsesMethod = ResponseCacheServiceGrpc.getDeleteCachedResponsesMethod) == null) {
          ResponseCacheServiceGrpc.getDeleteCachedResponsesMethod = getDeleteCachedResponsesMethod =
              io.grpc.MethodDescriptor.<dev.contextbridge.v1.DeleteCachedResponsesRequest, dev.contextbridge.v1.DeleteCachedResponsesResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "DeleteCachedResponses"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.contextbridge.v1.DeleteCachedResponsesRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.contextbridge.v1.DeleteCachedResponsesResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ResponseCacheServiceMethodDescriptorSupplier("DeleteCachedResponses"))
              .build();
        }
      }
    }
    return getDeleteCachedResponsesMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.contextbridge.v1.GetResponseCacheStatisticsRequest,
      dev.contextbridge.v1.GetResponseCacheStatisticsResponse> getGetResponseCacheStatisticsMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "GetResponseCacheStatistics",
      requestType = dev.contextbridge.v1.GetResponseCacheStatisticsRequest.class,
      responseType = dev.contextbridge.v1.GetResponseCacheStatisticsResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.contextbridge.v1.GetResponseCacheStatisticsRequest,
      dev.contextbridge.v1.GetResponseCacheStatisticsResponse> getGetResponseCacheStatisticsMethod() {
    io.grpc.MethodDescriptor<dev.contextbridge.v1.GetResponseCacheStatisticsRequest, dev.contextbridge.v1.GetResponseCacheStatisticsResponse> getGetResponseCacheStatisticsMethod;
    if ((getGetResponseCacheStatisticsMethod = ResponseCacheServiceGrpc.getGetResponseCacheStatisticsMethod) == null) {
      synchronized (ResponseCacheServiceGrpc.class) {
        if ((getGetResponseCacheStatisticsMethod = ResponseCacheServiceGrpc.getGetResponseCacheStatisticsMethod) == null) {
          ResponseCacheServiceGrpc.getGetResponseCacheStatisticsMethod = getGetResponseCacheStatisticsMethod =
              io.grpc.MethodDescriptor.<dev.contextbridge.v1.GetResponseCacheStatisticsRequest, dev.contextbridge.v1.GetResponseCacheStatisticsResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "GetResponseCacheStatistics"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.contextbridge.v1.GetResponseCacheStatisticsRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.contextbridge.v1.GetResponseCacheStatisticsResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ResponseCacheServiceMethodDescriptorSupplier("GetResponseCacheStatistics"))
              .build();
        }
      }
    }
    return getGetResponseCacheStatisticsMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static ResponseCacheServiceStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ResponseCacheServiceStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ResponseCacheServiceStub>() {
        @java.lang.Override
        public ResponseCacheServiceStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ResponseCacheServiceStub(channel, callOptions);
        }
      };
    return ResponseCacheServiceStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static ResponseCacheServiceBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ResponseCacheServiceBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ResponseCacheServiceBlockingV2Stub>() {
        @java.lang.Override
        public ResponseCacheServiceBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ResponseCacheServiceBlockingV2Stub(channel, callOptions);
        }
      };
    return ResponseCacheServiceBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static ResponseCacheServiceBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ResponseCacheServiceBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ResponseCacheServiceBlockingStub>() {
        @java.lang.Override
        public ResponseCacheServiceBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ResponseCacheServiceBlockingStub(channel, callOptions);
        }
      };
    return ResponseCacheServiceBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static ResponseCacheServiceFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ResponseCacheServiceFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ResponseCacheServiceFutureStub>() {
        @java.lang.Override
        public ResponseCacheServiceFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ResponseCacheServiceFutureStub(channel, callOptions);
        }
      };
    return ResponseCacheServiceFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * The answers that are kept for a tenant, and what they have saved. Calls use them by
   * `response_cache` of their requests.
   * Errors common to all: UNIMPLEMENTED (STORE_REQUIRED) where the server keeps no store, UNAVAILABLE
   * (STORE_UNAVAILABLE) where it is away.
   * </pre>
   */
  public interface AsyncService {

    /**
     * <pre>
     * Deletes answers of the caller's tenant. One that is being made while they are deleted may be
     * kept afterwards.
     * Errors: INVALID_ARGUMENT (no target, or an empty one).
     * </pre>
     */
    default void deleteCachedResponses(dev.contextbridge.v1.DeleteCachedResponsesRequest request,
        io.grpc.stub.StreamObserver<dev.contextbridge.v1.DeleteCachedResponsesResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getDeleteCachedResponsesMethod(), responseObserver);
    }

    /**
     * <pre>
     * Returns what is kept for the caller's tenant, and how it has been used.
     * </pre>
     */
    default void getResponseCacheStatistics(dev.contextbridge.v1.GetResponseCacheStatisticsRequest request,
        io.grpc.stub.StreamObserver<dev.contextbridge.v1.GetResponseCacheStatisticsResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getGetResponseCacheStatisticsMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service ResponseCacheService.
   * <pre>
   * The answers that are kept for a tenant, and what they have saved. Calls use them by
   * `response_cache` of their requests.
   * Errors common to all: UNIMPLEMENTED (STORE_REQUIRED) where the server keeps no store, UNAVAILABLE
   * (STORE_UNAVAILABLE) where it is away.
   * </pre>
   */
  public static abstract class ResponseCacheServiceImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return ResponseCacheServiceGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service ResponseCacheService.
   * <pre>
   * The answers that are kept for a tenant, and what they have saved. Calls use them by
   * `response_cache` of their requests.
   * Errors common to all: UNIMPLEMENTED (STORE_REQUIRED) where the server keeps no store, UNAVAILABLE
   * (STORE_UNAVAILABLE) where it is away.
   * </pre>
   */
  public static final class ResponseCacheServiceStub
      extends io.grpc.stub.AbstractAsyncStub<ResponseCacheServiceStub> {
    private ResponseCacheServiceStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ResponseCacheServiceStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ResponseCacheServiceStub(channel, callOptions);
    }

    /**
     * <pre>
     * Deletes answers of the caller's tenant. One that is being made while they are deleted may be
     * kept afterwards.
     * Errors: INVALID_ARGUMENT (no target, or an empty one).
     * </pre>
     */
    public void deleteCachedResponses(dev.contextbridge.v1.DeleteCachedResponsesRequest request,
        io.grpc.stub.StreamObserver<dev.contextbridge.v1.DeleteCachedResponsesResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getDeleteCachedResponsesMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Returns what is kept for the caller's tenant, and how it has been used.
     * </pre>
     */
    public void getResponseCacheStatistics(dev.contextbridge.v1.GetResponseCacheStatisticsRequest request,
        io.grpc.stub.StreamObserver<dev.contextbridge.v1.GetResponseCacheStatisticsResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getGetResponseCacheStatisticsMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service ResponseCacheService.
   * <pre>
   * The answers that are kept for a tenant, and what they have saved. Calls use them by
   * `response_cache` of their requests.
   * Errors common to all: UNIMPLEMENTED (STORE_REQUIRED) where the server keeps no store, UNAVAILABLE
   * (STORE_UNAVAILABLE) where it is away.
   * </pre>
   */
  public static final class ResponseCacheServiceBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<ResponseCacheServiceBlockingV2Stub> {
    private ResponseCacheServiceBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ResponseCacheServiceBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ResponseCacheServiceBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * Deletes answers of the caller's tenant. One that is being made while they are deleted may be
     * kept afterwards.
     * Errors: INVALID_ARGUMENT (no target, or an empty one).
     * </pre>
     */
    public dev.contextbridge.v1.DeleteCachedResponsesResponse deleteCachedResponses(dev.contextbridge.v1.DeleteCachedResponsesRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getDeleteCachedResponsesMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Returns what is kept for the caller's tenant, and how it has been used.
     * </pre>
     */
    public dev.contextbridge.v1.GetResponseCacheStatisticsResponse getResponseCacheStatistics(dev.contextbridge.v1.GetResponseCacheStatisticsRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getGetResponseCacheStatisticsMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service ResponseCacheService.
   * <pre>
   * The answers that are kept for a tenant, and what they have saved. Calls use them by
   * `response_cache` of their requests.
   * Errors common to all: UNIMPLEMENTED (STORE_REQUIRED) where the server keeps no store, UNAVAILABLE
   * (STORE_UNAVAILABLE) where it is away.
   * </pre>
   */
  public static final class ResponseCacheServiceBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<ResponseCacheServiceBlockingStub> {
    private ResponseCacheServiceBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ResponseCacheServiceBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ResponseCacheServiceBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Deletes answers of the caller's tenant. One that is being made while they are deleted may be
     * kept afterwards.
     * Errors: INVALID_ARGUMENT (no target, or an empty one).
     * </pre>
     */
    public dev.contextbridge.v1.DeleteCachedResponsesResponse deleteCachedResponses(dev.contextbridge.v1.DeleteCachedResponsesRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getDeleteCachedResponsesMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Returns what is kept for the caller's tenant, and how it has been used.
     * </pre>
     */
    public dev.contextbridge.v1.GetResponseCacheStatisticsResponse getResponseCacheStatistics(dev.contextbridge.v1.GetResponseCacheStatisticsRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getGetResponseCacheStatisticsMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service ResponseCacheService.
   * <pre>
   * The answers that are kept for a tenant, and what they have saved. Calls use them by
   * `response_cache` of their requests.
   * Errors common to all: UNIMPLEMENTED (STORE_REQUIRED) where the server keeps no store, UNAVAILABLE
   * (STORE_UNAVAILABLE) where it is away.
   * </pre>
   */
  public static final class ResponseCacheServiceFutureStub
      extends io.grpc.stub.AbstractFutureStub<ResponseCacheServiceFutureStub> {
    private ResponseCacheServiceFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ResponseCacheServiceFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ResponseCacheServiceFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Deletes answers of the caller's tenant. One that is being made while they are deleted may be
     * kept afterwards.
     * Errors: INVALID_ARGUMENT (no target, or an empty one).
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.contextbridge.v1.DeleteCachedResponsesResponse> deleteCachedResponses(
        dev.contextbridge.v1.DeleteCachedResponsesRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getDeleteCachedResponsesMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Returns what is kept for the caller's tenant, and how it has been used.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.contextbridge.v1.GetResponseCacheStatisticsResponse> getResponseCacheStatistics(
        dev.contextbridge.v1.GetResponseCacheStatisticsRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getGetResponseCacheStatisticsMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_DELETE_CACHED_RESPONSES = 0;
  private static final int METHODID_GET_RESPONSE_CACHE_STATISTICS = 1;

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
        case METHODID_DELETE_CACHED_RESPONSES:
          serviceImpl.deleteCachedResponses((dev.contextbridge.v1.DeleteCachedResponsesRequest) request,
              (io.grpc.stub.StreamObserver<dev.contextbridge.v1.DeleteCachedResponsesResponse>) responseObserver);
          break;
        case METHODID_GET_RESPONSE_CACHE_STATISTICS:
          serviceImpl.getResponseCacheStatistics((dev.contextbridge.v1.GetResponseCacheStatisticsRequest) request,
              (io.grpc.stub.StreamObserver<dev.contextbridge.v1.GetResponseCacheStatisticsResponse>) responseObserver);
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
          getDeleteCachedResponsesMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.contextbridge.v1.DeleteCachedResponsesRequest,
              dev.contextbridge.v1.DeleteCachedResponsesResponse>(
                service, METHODID_DELETE_CACHED_RESPONSES)))
        .addMethod(
          getGetResponseCacheStatisticsMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.contextbridge.v1.GetResponseCacheStatisticsRequest,
              dev.contextbridge.v1.GetResponseCacheStatisticsResponse>(
                service, METHODID_GET_RESPONSE_CACHE_STATISTICS)))
        .build();
  }

  private static abstract class ResponseCacheServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    ResponseCacheServiceBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return dev.contextbridge.v1.ResponseCacheServiceProto.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("ResponseCacheService");
    }
  }

  private static final class ResponseCacheServiceFileDescriptorSupplier
      extends ResponseCacheServiceBaseDescriptorSupplier {
    ResponseCacheServiceFileDescriptorSupplier() {}
  }

  private static final class ResponseCacheServiceMethodDescriptorSupplier
      extends ResponseCacheServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    ResponseCacheServiceMethodDescriptorSupplier(java.lang.String methodName) {
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
      synchronized (ResponseCacheServiceGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new ResponseCacheServiceFileDescriptorSupplier())
              .addMethod(getDeleteCachedResponsesMethod())
              .addMethod(getGetResponseCacheStatisticsMethod())
              .build();
        }
      }
    }
    return result;
  }
}
