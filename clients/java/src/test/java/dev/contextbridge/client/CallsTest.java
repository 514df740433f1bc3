package dev.contextbridge.client;

import static dev.contextbridge.client.Events.chat;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.contextbridge.v1.Context;
import dev.contextbridge.v1.ContextServiceGrpc;
import dev.contextbridge.v1.GetContextRequest;
import dev.contextbridge.v1.ListContextsRequest;
import dev.contextbridge.v1.UploadFileMetadata;
import dev.contextbridge.v1.UploadFileRequest;
import io.grpc.Metadata;
import io.grpc.Status;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.SequenceInputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Random;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(20)
class CallsTest {
  private static final UploadFileMetadata RULES =
      UploadFileMetadata.newBuilder().setMimeType("text/plain").build();

  private ScriptedServer server;
  private ContextBridgeClient client;

  @BeforeEach
  void open() throws IOException {
    server = new ScriptedServer();
    client = server.client().build();
  }

  @AfterEach
  void close() throws InterruptedException {
    client.close();
    server.stop();
  }

  // Unary calls

  @Test
  void aNamedCallIsSentAgainAfterABreak() {
    server.fails(Status.UNAVAILABLE).fails(Status.INTERNAL);
    assertEquals("answer-1", client.completeChat(chat("turn-1")).getId());
    assertEquals(List.of(chat("turn-1"), chat("turn-1"), chat("turn-1")), requests());
  }

  @Test
  void attemptsAreBounded() {
    for (int attempt = 0; attempt <= 5; attempt++) {
      server.fails(Status.UNAVAILABLE.withDescription("attempt " + attempt));
    }
    ContextBridgeException error =
        assertThrows(ContextBridgeException.class, () -> client.completeChat(chat("turn-1")));
    assertEquals("attempt 5", error.message());
    assertEquals(6, server.requests.size());
  }

  @Test
  void anAnswerIsNotAskedForAgain() {
    server.fails(Status.NOT_FOUND);
    assertThrows(ContextBridgeException.class, () -> client.completeChat(chat("turn-1")));
    assertEquals(1, server.requests.size());
  }

  @Test
  void aCallWithoutANameIsSentOnce() {
    server.fails(Status.UNAVAILABLE);
    assertThrows(ContextBridgeException.class, () -> client.completeChat(chat("")));
    assertEquals(1, server.requests.size());
  }

  @Test
  void readsAreRetriedWhereTheServerIsUnavailable() {
    server.fails(Status.UNAVAILABLE).fails(Status.UNAVAILABLE).fails(Status.UNAVAILABLE);
    assertEquals("context-1", client.withResume(Resume.OFF).getContext("context-1").getId());
  }

  @Test
  void anInterruptEndsACallAndAPause() {
    Thread.currentThread().interrupt();
    ContextBridgeException error =
        assertThrows(ContextBridgeException.class, () -> client.completeChat(chat("turn-1")));
    assertEquals(Status.Code.CANCELLED, error.code());
    assertTrue(Thread.interrupted());

    server.fails(Status.UNAVAILABLE);
    Thread reader = Thread.currentThread();
    ContextBridgeClient patient =
        server
            .client()
            .resume(new Resume(5, Duration.ofMinutes(1), Duration.ofMinutes(1)))
            .token(() -> interruptedSoon(reader))
            .build();
    try (patient) {
      error =
          assertThrows(ContextBridgeException.class, () -> patient.completeChat(chat("turn-1")));
    }
    assertEquals(Status.Code.CANCELLED, error.code());
    assertTrue(Thread.interrupted());
  }

  /** Interrupts a thread once it waits with a limit, as it does in a pause. */
  private static String interruptedSoon(Thread reader) {
    new Thread(
            () -> {
              while (reader.getState() != Thread.State.TIMED_WAITING) {
                Thread.onSpinWait();
              }
              reader.interrupt();
            })
        .start();
    return "t0p";
  }

  @Test
  void aCancelledContextEndsAPause() {
    server.fails(Status.UNAVAILABLE);
    ContextBridgeClient patient =
        client.withResume(new Resume(5, Duration.ofMinutes(1), Duration.ofMinutes(1)));
    try (io.grpc.Context.CancellableContext context =
        io.grpc.Context.current().withCancellation()) {
      Thread reader = Thread.currentThread();
      Thread canceller =
          new Thread(
              () -> {
                while (reader.getState() != Thread.State.TIMED_WAITING) {
                  Thread.onSpinWait();
                }
                context.cancel(null);
              });
      canceller.start();
      ContextBridgeException error =
          assertThrows(
              ContextBridgeException.class,
              () -> context.call(() -> patient.completeChat(chat("turn-1"))));
      assertEquals(Status.Code.CANCELLED, error.code());
    }
  }

  @Test
  void aListIsFetchedPageByPageAndAsOftenAsItIsRead() {
    Iterable<Context> contexts =
        client.listContexts(ListContextsRequest.newBuilder().setModel("m").build());
    for (int reading = 0; reading < 2; reading++) {
      List<String> ids = new ArrayList<>();
      contexts.forEach(context -> ids.add(context.getId()));
      assertEquals(List.of("m", "m+", "m++"), ids);
    }
    Iterator<Context> first = client.listContexts().iterator();
    first.next();
    assertEquals(7, server.headers.size());
  }

  @Test
  void everyCallSaysWhoMakesItAndStubsToo() throws InterruptedException {
    AtomicInteger asked = new AtomicInteger();
    try (ContextBridgeClient owner =
        server.client().token(() -> "t" + asked.incrementAndGet()).upstreamApiKey("k").build()) {
      owner.getContext("context-1");
      ContextServiceGrpc.newBlockingStub(owner.channel())
          .getContext(GetContextRequest.newBuilder().setId("context-1").build());
    }
    Metadata headers = server.headers.take();
    assertEquals("Bearer t1", headers.get(key("authorization")));
    assertEquals("k", headers.get(key("x-upstream-api-key")));
    String agent = headers.get(key("user-agent"));
    assertTrue(agent.matches("contextbridge-java/\\d+\\.\\d+\\.\\d+.* grpc-java-.*"), agent);
    assertEquals("Bearer t2", server.headers.take().get(key("authorization")));
  }

  @Test
  void aServerThatIsNotThereIsUnavailable() throws Exception {
    try (ContextBridgeClient lonely = server.client().resume(Resume.OFF).build()) {
      server.stop();
      ContextBridgeException error =
          assertThrows(ContextBridgeException.class, () -> lonely.completeChat(chat("turn-1")));
      assertEquals(Status.Code.UNAVAILABLE, error.code());
      assertEquals("", error.reason());
    }
  }

  // Uploads

  @Test
  void bytesGoInPieces() {
    byte[] content = new byte[700_000];
    new Random(1).nextBytes(content);
    assertEquals("files/1", client.uploadFile(content, RULES).getName());
    assertUploaded(content);
  }

  @Test
  void aFileSaysWhatItIs(@TempDir Path folder) throws IOException {
    Path file = Files.writeString(folder.resolve("rules.txt"), "Trim the lamps.");
    client.uploadFile(file);
    assertUploaded(Files.readAllBytes(file));
    Path unknown = Files.writeString(folder.resolve("rules"), "Trim the lamps.");
    assertThrows(IllegalArgumentException.class, () -> client.uploadFile(unknown));
  }

  @Test
  void aStreamNeedsToBeDescribed() {
    InputStream content = new ByteArrayInputStream(new byte[1]);
    assertThrows(IllegalArgumentException.class, () -> client.uploadFile(content, RULES));
  }

  @Test
  void anUploadWhoseSourceFailsIsCancelled() throws InterruptedException {
    IOException expected = new IOException("Disk.");
    InputStream broken =
        new InputStream() {
          @Override
          public int read() throws IOException {
            throw expected;
          }
        };
    InputStream content =
        new SequenceInputStream(new ByteArrayInputStream(new byte[300_000]), broken);
    UploadFileMetadata metadata = RULES.toBuilder().setSizeBytes(400_000).build();
    assertSame(
        expected, assertThrows(IOException.class, () -> client.uploadFile(content, metadata)));
    server.left.await();
  }

  @Test
  void anInterruptedUploadIsCancelled() {
    Thread.currentThread().interrupt();
    ContextBridgeException error =
        assertThrows(
            ContextBridgeException.class, () -> client.uploadFile(new byte[700_000], RULES));
    assertTrue(Thread.interrupted());
    assertEquals(Status.Code.CANCELLED, error.code());
    assertInstanceOf(InterruptedException.class, error.getCause());
  }

  @Test
  void anUploadThatTheServerRefusesFails() {
    server.fails(Status.INVALID_ARGUMENT.withDescription("Too large."));
    ContextBridgeException error =
        assertThrows(ContextBridgeException.class, () -> client.uploadFile(new byte[1], RULES));
    assertEquals("Too large.", error.message());
  }

  private void assertUploaded(byte[] content) {
    List<UploadFileRequest> messages = new ArrayList<>();
    server.uploaded.drainTo(messages);
    assertEquals(
        RULES.toBuilder().setSizeBytes(content.length).build(), messages.get(0).getMetadata());
    ByteArrayOutputStream chunks = new ByteArrayOutputStream();
    messages.forEach(message -> chunks.writeBytes(message.getChunk().toByteArray()));
    assertArrayEquals(content, chunks.toByteArray());
  }

  private List<Object> requests() {
    return List.copyOf(server.requests);
  }

  private static Metadata.Key<String> key(String name) {
    return Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER);
  }
}
