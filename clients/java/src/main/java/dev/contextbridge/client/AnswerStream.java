package dev.contextbridge.client;

import java.lang.ref.Cleaner;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Flow;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * An answer on its way, read once and in one of these ways: event by event, as the pieces of its
 * text, to its end as a whole, or by a subscriber that is called back.
 *
 * <p>The call begins when it is first read, and its deadline then. Events are asked for one by one,
 * or as many as a subscriber asks for, so that a slow reader slows the server. {@linkplain #close()
 * Closing} the stream before its end cancels the call, and upstream's work with it, unless other
 * calls share that ({@code response_cache}) or it is kept to be resumed ({@code idempotency_key});
 * so read it in a try-with-resources statement. One that is dropped is cancelled when it is
 * collected.
 *
 * <p>A stream ends with its last event or with an error, never silently early. Reading throws
 * {@link ContextBridgeException} where the call fails, with the code DATA_LOSS where it ends well
 * without its last event, and with CANCELLED once it was closed or the reading thread was
 * interrupted, which stays marked so. One thread reads a stream at a time; any thread may close it.
 *
 * @param <E> an event
 * @param <A> the whole answer
 */
public abstract sealed class AnswerStream<E, A>
    implements Iterable<E>, Flow.Publisher<E>, AutoCloseable permits ChatStream, ContentStream {
  private static final Cleaner CLEANER = Cleaner.create();

  private final Fold<E, A> fold;
  private final Relay<?, E> relay;
  private final Mailbox<E> mailbox = new Mailbox<>();
  private final AtomicBoolean isBegun = new AtomicBoolean();
  private E ahead;

  AnswerStream(Fold<E, A> fold, Relay<?, E> relay) {
    this.fold = fold;
    this.relay = relay;
    CLEANER.register(this, mailbox::drop);
  }

  /**
   * The place of the newest event in its generation, from 1.
   *
   * @return the {@code sequence}; 0 before the first event
   */
  public final int sequence() {
    return fold.sequence();
  }

  /**
   * Reads the events as the server sends them. What one iterator has read, another does not give
   * again.
   *
   * @return an iterator, which blocks
   */
  @Override
  public final Iterator<E> iterator() {
    return new Iterator<>() {
      @Override
      public boolean hasNext() {
        ahead = ahead == null ? read() : ahead;
        return ahead != null;
      }

      @Override
      public E next() {
        if (!hasNext()) {
          throw new NoSuchElementException();
        }
        E event = ahead;
        ahead = null;
        return event;
      }
    };
  }

  /**
   * Reads the text of the first choice or candidate.
   *
   * @return its pieces, none of them empty, thoughts left out
   */
  public final Iterable<String> text() {
    return text(0);
  }

  /**
   * Reads the text of one choice or candidate.
   *
   * <p>It reads the stream's own events: what it has read, the stream does not give again.
   *
   * @param index the choice or candidate, from 0
   * @return its pieces, none of them empty, thoughts left out
   */
  public final Iterable<String> text(int index) {
    return () -> new Pieces(index);
  }

  /**
   * Reads to the end and returns the whole answer, events that were read before included.
   *
   * @return what the unary call would have given
   * @throws ContextBridgeException as reading does, also where that has failed before
   * @throws IllegalStateException for a stream that was begun with {@code resume_after}, because
   *     its beginning is not here, and for one whose subscriber has not been told its end
   */
  public final A answer() {
    if (!relay.isWhole()) {
      throw new IllegalStateException("a stream begun with resume_after has no whole answer");
    }
    while (!relay.hasEndedWell()) {
      read();
    }
    return fold.answer();
  }

  /**
   * Calls a subscriber back with the events, on gRPC's threads and never more than it has asked
   * for. The call begins at once.
   *
   * <p>Cancelling the subscription cancels the call. {@link #answer()} gives the whole answer once
   * the subscriber was told that it is complete.
   *
   * @param subscriber the one reader; it is told an {@link IllegalStateException} where the stream
   *     has one already
   */
  @Override
  public final void subscribe(Flow.Subscriber<? super E> subscriber) {
    if (isBegun.compareAndSet(false, true)) {
      relay.begin(subscriber);
    } else {
      subscriber.onSubscribe(new Nothing());
      subscriber.onError(new IllegalStateException("the stream is read already"));
    }
  }

  /** Cancels the call where it has not ended; whoever reads the stream is told so. */
  @Override
  public final void close() {
    relay.leave(ContextBridgeException.cancelled());
  }

  /** The next event; null after the last. */
  private E read() {
    if (isBegun.compareAndSet(false, true)) {
      relay.begin(mailbox);
    }
    return mailbox.take();
  }

  /** The pieces of one choice's text, while they are read. */
  private final class Pieces implements Iterator<String> {
    private final Iterator<E> events = iterator();
    private final int index;
    private String piece = "";

    Pieces(int index) {
      this.index = index;
    }

    @Override
    public boolean hasNext() {
      while (piece.isEmpty() && events.hasNext()) {
        piece = fold.text(events.next(), index);
      }
      return !piece.isEmpty();
    }

    @Override
    public String next() {
      if (!hasNext()) {
        throw new NoSuchElementException();
      }
      String next = piece;
      piece = "";
      return next;
    }
  }

  /** What a thread that blocks waits at: it asks for an event and gets that, the end or why not. */
  private static final class Mailbox<E> implements Flow.Subscriber<E> {
    private record Signal<E>(E event, Throwable failure) {}

    private final BlockingQueue<Signal<E>> signals = new LinkedBlockingQueue<>();
    private volatile Flow.Subscription subscription;
    private Signal<E> last;

    E take() {
      if (subscription == null) {
        throw new IllegalStateException("the stream has a subscriber");
      }
      Signal<E> signal = last == null ? next() : last;
      if (signal.event == null) {
        last = signal;
      }
      if (signal.failure instanceof Error error) {
        throw error;
      }
      if (signal.failure != null) {
        // It was made on another thread; the reader's own way here is of more use.
        signal.failure.fillInStackTrace();
        throw (RuntimeException) signal.failure;
      }
      return signal.event;
    }

    private Signal<E> next() {
      subscription.request(1);
      try {
        return signals.take();
      } catch (InterruptedException interruption) {
        Thread.currentThread().interrupt();
        subscription.cancel();
        return new Signal<>(null, ContextBridgeException.interrupted(interruption));
      }
    }

    /** Ends the call of a stream that nobody holds any more. */
    void drop() {
      if (subscription != null) {
        subscription.cancel();
      }
    }

    @Override
    public void onSubscribe(Flow.Subscription subscription) {
      this.subscription = subscription;
    }

    @Override
    public void onNext(E event) {
      signals.add(new Signal<>(event, null));
    }

    @Override
    public void onError(Throwable failure) {
      signals.add(new Signal<>(null, failure));
    }

    @Override
    public void onComplete() {
      signals.add(new Signal<>(null, null));
    }
  }

  /** The subscription of a subscriber that came second. */
  private record Nothing() implements Flow.Subscription {
    @Override
    public void request(long events) {}

    @Override
    public void cancel() {}
  }
}
