package dev.contextbridge.client;

import dev.contextbridge.v1.ChatWithContextRequest;
import dev.contextbridge.v1.ChatWithContextResponse;
import dev.contextbridge.v1.CompleteChatWithContextResponse;
import dev.contextbridge.v1.Context;
import dev.contextbridge.v1.ContextServiceGrpc;
import dev.contextbridge.v1.File;
import dev.contextbridge.v1.FileServiceGrpc;
import dev.contextbridge.v1.GetContextRequest;
import dev.contextbridge.v1.GetContextResponse;
import dev.contextbridge.v1.ListContextsRequest;
import dev.contextbridge.v1.ListContextsResponse;
import dev.contextbridge.v1.UploadFileRequest;
import dev.contextbridge.v1.UploadFileResponse;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.ServerInterceptors;
import io.grpc.Status;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.function.Consumer;

/** A real server whose calls do what a script says, one after the other. */
final class ScriptedServer {
  /** The requests for chats, streaming and whole, as they came. */
  final BlockingQueue<ChatWithContextRequest> requests = new LinkedBlockingQueue<>();

  /** What was uploaded, message by message. */
  final BlockingQueue<UploadFileRequest> uploaded = new LinkedBlockingQueue<>();

  /** The headers of the calls. */
  final BlockingQueue<Metadata> headers = new LinkedBlockingQueue<>();

  /** Goes to zero when a caller has left. */
  final CountDownLatch left = new CountDownLatch(1);

  private final Queue<Consumer<ServerCallStreamObserver<ChatWithContextResponse>>> streams =
      new ConcurrentLinkedQueue<>();
  private final Queue<Status> failures = new ConcurrentLinkedQueue<>();
  private final Server server;

  ScriptedServer() throws IOException {
    this(0);
  }

  ScriptedServer(int port) throws IOException {
    server =
        Grpc.newServerBuilderForPort(port, InsecureServerCredentials.create())
            .addService(ServerInterceptors.intercept(new Contexts(), new Headers()))
            .addService(new Files())
            .build()
            .start();
  }

  int port() {
    return server.getPort();
  }

  /** A client of this server that is quick to resume. */
  ContextBridgeClient.Builder client() {
    return ContextBridgeClient.builder()
        .target("127.0.0.1:" + port())
        .resume(new Resume(5, Duration.ofMillis(1), Duration.ofMillis(5)));
  }

  /** The next stream sends these and ends with OK. */
  ScriptedServer ends(ChatWithContextResponse... events) {
    return does(
        caller -> {
          List.of(events).forEach(caller::onNext);
          caller.onCompleted();
        });
  }

  /** The next stream sends these and fails. */
  ScriptedServer breaks(Status status, ChatWithContextResponse... events) {
    return does(
        caller -> {
          List.of(events).forEach(caller::onNext);
          caller.onError(status.asException());
        });
  }

  /** The next stream sends these and nothing more. */
  ScriptedServer hangs(ChatWithContextResponse... events) {
    return does(caller -> List.of(events).forEach(caller::onNext));
  }

  /** The next stream does this. */
  ScriptedServer does(Consumer<ServerCallStreamObserver<ChatWithContextResponse>> stream) {
    streams.add(stream);
    return this;
  }

  /** The next unary call fails. */
  ScriptedServer fails(Status status) {
    failures.add(status);
    return this;
  }

  void stop() throws InterruptedException {
    server.shutdownNow().awaitTermination();
  }

  private <T> void answer(StreamObserver<T> caller, T response) {
    Status failure = failures.poll();
    if (failure != null) {
      caller.onError(failure.asException());
    } else {
      caller.onNext(response);
      caller.onCompleted();
    }
  }

  private final class Headers implements ServerInterceptor {
    @Override
    public <Q, R> ServerCall.Listener<Q> interceptCall(
        ServerCall<Q, R> call, Metadata metadata, ServerCallHandler<Q, R> next) {
      headers.add(metadata);
      return next.startCall(call, metadata);
    }
  }

  private final class Contexts extends ContextServiceGrpc.ContextServiceImplBase {
    @Override
    public void chatWithContext(
        ChatWithContextRequest request, StreamObserver<ChatWithContextResponse> observer) {
      ServerCallStreamObserver<ChatWithContextResponse> caller =
          (ServerCallStreamObserver<ChatWithContextResponse>) observer;
      caller.setOnCancelHandler(left::countDown);
      requests.add(request);
      streams.remove().accept(caller);
    }

    @Override
    public void completeChatWithContext(
        ChatWithContextRequest request, StreamObserver<CompleteChatWithContextResponse> caller) {
      requests.add(request);
      answer(caller, CompleteChatWithContextResponse.newBuilder().setId("answer-1").build());
    }

    @Override
    public void getContext(GetContextRequest request, StreamObserver<GetContextResponse> caller) {
      Context context = Context.newBuilder().setId(request.getId()).build();
      answer(caller, GetContextResponse.newBuilder().setContext(context).build());
    }

    /** Three pages of one. */
    @Override
    public void listContexts(
        ListContextsRequest request, StreamObserver<ListContextsResponse> caller) {
      String token = request.getPageToken();
      Context context = Context.newBuilder().setId(request.getModel() + token).build();
      answer(
          caller,
          ListContextsResponse.newBuilder()
              .addContexts(context)
              .setNextPageToken(token.length() < 2 ? token + "+" : "")
              .build());
    }
  }

  private final class Files extends FileServiceGrpc.FileServiceImplBase {
    @Override
    public StreamObserver<UploadFileRequest> uploadFile(StreamObserver<UploadFileResponse> caller) {
      return new StreamObserver<>() {
        @Override
        public void onNext(UploadFileRequest message) {
          uploaded.add(message);
        }

        @Override
        public void onError(Throwable cancelled) {
          left.countDown();
        }

        @Override
        public void onCompleted() {
          File file = File.newBuilder().setName("files/1").build();
          answer(caller, UploadFileResponse.newBuilder().setFile(file).build());
        }
      };
    }
  }
}
