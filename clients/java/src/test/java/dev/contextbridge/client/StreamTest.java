package dev.contextbridge.client;

import static dev.contextbridge.client.Events.chat;
import static dev.contextbridge.client.Events.completed;
import static dev.contextbridge.client.Events.content;
import static dev.contextbridge.client.Events.started;
import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.contextbridge.v1.ChatWithContextRequest;
import dev.contextbridge.v1.ChatWithContextResponse;
import io.grpc.Context;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.Flow;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(20)
class StreamTest {
  private static final Resume PATIENT = new Resume(5, Duration.ofMinutes(1), Duration.ofMinutes(1));

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

  // Reading

  @Test
  void aStreamIsReadByEvents() {
    server.ends(started(1), content(2, "At Oban."), completed(3));
    List<Integer> sequences = new ArrayList<>();
    try (ChatStream stream = client.chat(chat(""))) {
      assertEquals(0, stream.sequence());
      for (ChatWithContextResponse event : stream) {
        sequences.add(event.getSequence());
        assertEquals(event.getSequence(), stream.sequence());
      }
      assertThrows(NoSuchElementException.class, stream.iterator()::next);
      assertEquals("At Oban.", Answers.textOf(stream.answer()));
    }
    assertEquals(List.of(1, 2, 3), sequences);
  }

  @Test
  void aStreamIsReadByText() {
    server.ends(started(1), content(2, "At "), content(3, ""), content(4, "Oban."), completed(5));
    try (ChatStream stream = client.chat(chat(""))) {
      List<String> pieces = new ArrayList<>();
      stream.text().forEach(pieces::add);
      assertEquals(List.of("At ", "Oban."), pieces);
      assertFalse(stream.text(1).iterator().hasNext());
      assertEquals("At Oban.", Answers.textOf(stream.answer()));
    }
  }

  @Test
  void theWholeAnswerHoldsWhatWasReadBefore() {
    server.ends(started(1), content(2, "At "), content(3, "Oban."), completed(4));
    try (ChatStream stream = client.chat(chat(""))) {
      assertEquals("At ", stream.text().iterator().next());
      assertTrue(stream.iterator().hasNext());
      assertEquals("At Oban.", Answers.textOf(stream.answer()));
      assertEquals(4, stream.sequence());
    }
  }

  @Test
  void anOkWithoutTheLastEventIsDataLoss() {
    server.ends(started(1), content(2, "At "));
    try (ChatStream stream = client.chat(chat("turn-1"))) {
      assertFailsWith(Status.Code.DATA_LOSS, stream::answer);
      assertFailsWith(Status.Code.DATA_LOSS, stream::answer);
      assertEquals(2, stream.sequence());
    }
  }

  @Test
  void whatFollowsTheLastEventIsNothing() {
    server.ends();
    ChatWithContextRequest request = chat("turn-1").toBuilder().setResumeAfter(3).build();
    try (ChatStream stream = client.chat(request)) {
      assertFalse(stream.iterator().hasNext());
      assertThrows(IllegalStateException.class, stream::answer);
    }
  }

  @Test
  void aSlowReaderSlowsTheServer() throws InterruptedException {
    int events = 500;
    String kilobytes = "x".repeat(64 * 1024);
    AtomicInteger sent = new AtomicInteger();
    CountDownLatch isFull = new CountDownLatch(1);
    server.does(
        caller ->
            caller.setOnReadyHandler(
                () -> {
                  while (caller.isReady() && sent.get() < events) {
                    caller.onNext(content(sent.incrementAndGet(), kilobytes));
                  }
                  isFull.countDown();
                  if (sent.get() == events) {
                    caller.onNext(completed(events + 1));
                    caller.onCompleted();
                    sent.incrementAndGet();
                  }
                }));
    try (ChatStream stream = client.chat(chat(""))) {
      stream.iterator().next();
      isFull.await();
      assertTrue(sent.get() < events / 2, "sent " + sent);
      assertEquals(events * kilobytes.length(), Answers.textOf(stream.answer()).length());
    }
  }

  // Resuming

  @Test
  void aBrokenStreamGoesOnAfterItsNewestEvent() throws InterruptedException {
    server
        .breaks(Status.UNAVAILABLE, started(1), content(2, "At "))
        .breaks(Status.CANCELLED)
        .breaks(Status.INTERNAL, content(3, "Ob"))
        .ends(content(4, "an."), completed(5));
    try (ChatStream stream = client.chat(chat("turn-1"))) {
      List<Integer> sequences = new ArrayList<>();
      stream.forEach(event -> sequences.add(event.getSequence()));
      assertEquals(List.of(1, 2, 3, 4, 5), sequences);
      assertEquals("At Oban.", Answers.textOf(stream.answer()));
    }
    assertEquals(chat("turn-1"), server.requests.take());
    for (int after : new int[] {2, 2, 3}) {
      assertEquals(
          chat("turn-1").toBuilder().setResumeAfter(after).build(), server.requests.take());
    }
  }

  @Test
  void aStreamGoesOnWithAServerThatWasStartedAnew() throws Exception {
    ContextBridgeClient patient =
        client.withResume(new Resume(50, Duration.ofMillis(50), Duration.ofMillis(50)));
    server.hangs(started(1), content(2, "At "));
    try (ChatStream stream = patient.chat(chat("turn-1"))) {
      assertEquals("At ", stream.text().iterator().next());
      int port = server.port();
      server.stop();
      server = new ScriptedServer(port);
      server.ends(content(3, "Oban."), completed(4));
      assertEquals("At Oban.", Answers.textOf(stream.answer()));
    }
    assertEquals(2, server.requests.take().getResumeAfter());
  }

  @Test
  void attemptsAreBoundedWhereNoEventComes() {
    server.breaks(Status.UNAVAILABLE, started(1));
    for (int attempt = 0; attempt < 5; attempt++) {
      server.breaks(Status.UNAVAILABLE.withDescription("attempt " + attempt));
    }
    try (ChatStream stream = client.chat(chat("turn-1"))) {
      ContextBridgeException error = assertFailsWith(Status.Code.UNAVAILABLE, stream::answer);
      assertEquals("attempt 4", error.message());
    }
    assertEquals(6, server.requests.size());
  }

  @Test
  void aCallWithoutANameIsNotResumed() {
    server.breaks(Status.UNAVAILABLE, started(1));
    assertBreaks(client, chat(""));
  }

  @Test
  void resumingCanBeTurnedOff() {
    server.breaks(Status.UNAVAILABLE, started(1)).breaks(Status.UNAVAILABLE, started(1));
    assertBreaks(client.withResume(Resume.OFF), chat("turn-1"));
    try (ContextBridgeClient off = server.client().resume(Resume.OFF).build()) {
      assertBreaks(off, chat("turn-1"));
    }
  }

  @Test
  void whatTheServerDoesNotKeepIsNotResumed() {
    server.breaks(Status.UNAVAILABLE, started(1, false));
    assertBreaks(client, chat("turn-1"));
  }

  @Test
  void aBreakAfterTheLastEventIsTheEnd() {
    server.breaks(Status.UNAVAILABLE, started(1), content(2, "At Oban."), completed(3));
    try (ChatStream stream = client.chat(chat(""))) {
      assertEquals("At Oban.", Answers.textOf(stream.answer()));
    }
  }

  @Test
  void theDeadlineIsOneForTheWhole() {
    server.breaks(Status.UNAVAILABLE, started(1)).hangs();
    try (ChatStream stream = client.withTimeout(Duration.ofMillis(300)).chat(chat("turn-1"))) {
      assertFailsWith(Status.Code.DEADLINE_EXCEEDED, stream::answer);
    }
    assertEquals(2, server.requests.size());
  }

  @Test
  void aPauseThatOutlastsTheDeadlineIsNotBegun() {
    server.breaks(Status.UNAVAILABLE.withDescription("Restarting."), started(1));
    ContextBridgeClient hurried = client.withResume(PATIENT).withTimeout(Duration.ofSeconds(10));
    try (ChatStream stream = hurried.chat(chat("turn-1"))) {
      ContextBridgeException error = assertFailsWith(Status.Code.UNAVAILABLE, stream::answer);
      assertEquals("Restarting.", error.message());
    }
  }

  // Leaving

  @Test
  void closingEndsTheCall() throws InterruptedException {
    server.hangs(started(1));
    ChatStream stream = client.chat(chat("turn-1"));
    try (stream) {
      stream.iterator().next();
    }
    server.left.await();
    assertFailsWith(Status.Code.CANCELLED, stream::answer);
    stream.close();
  }

  @Test
  void aStreamThatIsClosedBeforeItIsReadMakesNoCall() {
    ChatStream stream = client.chat(chat("turn-1"));
    stream.close();
    assertFailsWith(Status.Code.CANCELLED, stream::answer);
    assertTrue(server.requests.isEmpty());
  }

  @Test
  void closingWakesTheReader() throws Exception {
    server.hangs(started(1));
    ChatStream stream = client.chat(chat("turn-1"));
    stream.iterator().next();
    Reader reader = new Reader(stream);
    stream.close();
    assertEquals(Status.Code.CANCELLED, reader.failure().code());
  }

  @Test
  void closingEndsAPause() throws Exception {
    server.breaks(Status.UNAVAILABLE, started(1));
    ChatStream stream = client.withResume(PATIENT).chat(chat("turn-1"));
    stream.iterator().next();
    Reader reader = new Reader(stream);
    reader.awaitBlocked();
    stream.close();
    assertEquals(Status.Code.CANCELLED, reader.failure().code());
    assertEquals(1, server.requests.size());
  }

  @Test
  void anInterruptedReaderLeaves() throws Exception {
    server.hangs(started(1));
    try (ChatStream stream = client.chat(chat("turn-1"))) {
      stream.iterator().next();
      Reader reader = new Reader(stream);
      reader.thread.interrupt();
      ContextBridgeException error = reader.failure();
      assertEquals(Status.Code.CANCELLED, error.code());
      assertInstanceOf(InterruptedException.class, error.getCause());
      server.left.await();
      assertSame(error, assertFailsWith(Status.Code.CANCELLED, stream::answer));
    }
  }

  @Test
  void aCancelledContextEndsTheCallAndAPause() throws Exception {
    server.hangs(started(1)).breaks(Status.UNAVAILABLE, started(1));
    for (int call = 0; call < 2; call++) {
      try (Context.CancellableContext context = Context.current().withCancellation();
          ChatStream stream = client.withResume(PATIENT).chat(chat("turn-1"))) {
        Iterator<ChatWithContextResponse> events = stream.iterator();
        context.run(events::next);
        Reader reader = new Reader(stream);
        reader.awaitBlocked();
        context.cancel(null);
        assertEquals(Status.Code.CANCELLED, reader.failure().code());
      }
    }
    assertEquals(2, server.requests.size());
  }

  @Test
  void aCancelledContextIsWhatIsToldOfACallThatBreaksMeanwhile() {
    CompletableFuture<StreamObserver<ChatWithContextResponse>> caller = new CompletableFuture<>();
    server.does(
        observer -> {
          observer.onNext(started(1));
          caller.complete(observer);
        });
    CompletableFuture<Reader> reader = new CompletableFuture<>();
    try (Context.CancellableContext context = Context.current().withCancellation();
        ChatStream stream = client.withResume(PATIENT).chat(chat("turn-1"))) {
      // Told before the stream is: the Context is cancelled, and the stream has not heard of it.
      context.addListener(
          cancelled -> {
            caller.join().onError(Status.UNAVAILABLE.asException());
            reader.join().failure.join();
          },
          Runnable::run);
      Iterator<ChatWithContextResponse> events = stream.iterator();
      context.run(events::next);
      reader.complete(new Reader(stream));
      context.cancel(null);
      assertEquals(Status.Code.CANCELLED, reader.join().failure.join().code());
    }
  }

  @Test
  void theDeadlineOfAContextHolds() {
    server.hangs(started(1));
    ScheduledExecutorService clock = Executors.newSingleThreadScheduledExecutor();
    try (Context.CancellableContext context =
            Context.current().withDeadlineAfter(300, TimeUnit.MILLISECONDS, clock);
        ChatStream stream = client.chat(chat("turn-1"))) {
      context.run(() -> assertFailsWith(Status.Code.DEADLINE_EXCEEDED, stream::answer));
    } finally {
      clock.shutdownNow();
    }
    assertEquals(1, server.requests.size());
  }

  @Test
  void closingTheClientEndsItsStreams() throws Exception {
    server.hangs(started(1));
    try (ChatStream stream = client.chat(chat("turn-1"))) {
      stream.iterator().next();
      Reader reader = new Reader(stream);
      client.close();
      assertFalse(reader.failure().message().isEmpty());
    }
    assertEquals(1, server.requests.size());
  }

  @Test
  void aStreamThatIsDroppedIsCancelled() throws InterruptedException {
    server.hangs(started(1));
    client.chat(chat("turn-1")).iterator().next();
    while (!server.left.await(20, TimeUnit.MILLISECONDS)) {
      System.gc();
    }
  }

  @Test
  void whatASupplierThrowsIsThrown() {
    IllegalStateException expected = new IllegalStateException("no token");
    AtomicInteger asked = new AtomicInteger();
    ContextBridgeClient.Builder builder =
        server
            .client()
            .token(
                () -> {
                  if (asked.incrementAndGet() > 1) {
                    throw expected;
                  }
                  return "t0p";
                });
    server.breaks(Status.UNAVAILABLE, started(1));
    try (ContextBridgeClient owner = builder.build();
        ChatStream stream = owner.chat(chat("turn-1"))) {
      assertSame(expected, assertThrows(IllegalStateException.class, stream::answer));
    }
  }

  // Subscribing

  @Test
  void aSubscriberGetsTheEventsThatItAsksFor() throws Exception {
    server
        .breaks(Status.UNAVAILABLE, started(1), content(2, "At "))
        .ends(content(3, "Oban."), completed(4));
    ChatStream stream = client.chat(chat("turn-1"));
    Subscriber subscriber = new Subscriber(1);
    stream.subscribe(subscriber);
    assertEquals(null, subscriber.end.get());
    assertEquals(List.of(1, 2, 3, 4), subscriber.sequences);
    assertEquals("At Oban.", Answers.textOf(stream.answer()));
  }

  @Test
  void aSubscriberIsToldWhyItFails() throws Exception {
    server.breaks(Status.UNAVAILABLE, started(1));
    Subscriber subscriber = new Subscriber(Long.MAX_VALUE);
    client.chat(chat("")).subscribe(subscriber);
    ContextBridgeException error =
        assertInstanceOf(ContextBridgeException.class, subscriber.end.get());
    assertEquals(Status.Code.UNAVAILABLE, error.code());
  }

  @Test
  void aSubscriberThatCancelsHearsNoMore() throws InterruptedException {
    server.hangs(started(1));
    CountDownLatch cancelled = new CountDownLatch(1);
    Subscriber subscriber =
        new Subscriber(1) {
          @Override
          public void onNext(ChatWithContextResponse event) {
            subscription.cancel();
            cancelled.countDown();
          }
        };
    client.chat(chat("turn-1")).subscribe(subscriber);
    cancelled.await();
    server.left.await();
    assertFalse(subscriber.end.isDone());
  }

  @Test
  void aSubscriberThatFailsOrAsksForNothingIsToldSo() throws Exception {
    server.hangs(started(1)).hangs(started(1));
    IllegalStateException expected = new IllegalStateException("full");
    Subscriber failing =
        new Subscriber(1) {
          @Override
          public void onNext(ChatWithContextResponse event) {
            throw expected;
          }
        };
    client.chat(chat("turn-1")).subscribe(failing);
    assertSame(expected, failing.end.get());

    Subscriber asksForNothing = new Subscriber(0);
    client.chat(chat("turn-1")).subscribe(asksForNothing);
    assertInstanceOf(IllegalArgumentException.class, asksForNothing.end.get());
  }

  @Test
  void aStreamHasOneReader() throws Exception {
    server.hangs(started(1));
    try (ChatStream stream = client.chat(chat("turn-1"))) {
      Subscriber first = new Subscriber(1);
      stream.subscribe(first);
      first.begun.get(); // A call that is cancelled before may never reach the server's code.
      Subscriber second = new Subscriber(1);
      stream.subscribe(second);
      assertInstanceOf(IllegalStateException.class, second.end.get());
      assertThrows(IllegalStateException.class, stream.iterator()::hasNext);
      assertThrows(IllegalStateException.class, stream::answer);
    }
    server.left.await();
  }

  private void assertBreaks(ContextBridgeClient client, ChatWithContextRequest request) {
    server.requests.clear();
    try (ChatStream stream = client.chat(request)) {
      assertDoesNotThrow(() -> stream.iterator().next());
      assertFailsWith(Status.Code.UNAVAILABLE, stream::answer);
    }
    assertEquals(1, server.requests.size());
  }

  private static ContextBridgeException assertFailsWith(Status.Code code, Runnable reading) {
    ContextBridgeException error = assertThrows(ContextBridgeException.class, reading::run);
    assertEquals(code, error.code());
    return error;
  }

  /** A thread that reads a stream to its failure. */
  private static final class Reader {
    final Thread thread;
    private final CompletableFuture<ContextBridgeException> failure = new CompletableFuture<>();

    Reader(ChatStream stream) {
      thread =
          new Thread(
              () -> {
                try {
                  failure.completeExceptionally(new AssertionError(stream.answer()));
                } catch (ContextBridgeException error) {
                  failure.complete(error);
                }
              });
      thread.start();
    }

    ContextBridgeException failure() throws Exception {
      return failure.get();
    }

    void awaitBlocked() {
      while (thread.getState() != Thread.State.WAITING) {
        Thread.onSpinWait();
      }
    }
  }

  /** A subscriber that asks for so many events at first and one more with each. */
  private static class Subscriber implements Flow.Subscriber<ChatWithContextResponse> {
    final List<Integer> sequences = new ArrayList<>();
    final CompletableFuture<Void> begun = new CompletableFuture<>();
    final CompletableFuture<Throwable> end = new CompletableFuture<>();
    private final long first;
    Flow.Subscription subscription;

    Subscriber(long first) {
      this.first = first;
    }

    @Override
    public void onSubscribe(Flow.Subscription subscription) {
      this.subscription = subscription;
      subscription.request(first);
    }

    @Override
    public void onNext(ChatWithContextResponse event) {
      sequences.add(event.getSequence());
      begun.complete(null);
      subscription.request(1);
    }

    @Override
    public void onError(Throwable failure) {
      end.complete(failure);
    }

    @Override
    public void onComplete() {
      end.complete(null);
    }
  }
}
