package dev.contextbridge.client;

import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.Context;
import io.grpc.Deadline;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.Flow;
import java.util.concurrent.TimeUnit;
import java.util.function.IntFunction;

/**
 * Hands the events of one answer to one reader, over as many calls as it takes.
 *
 * <p>It asks the server for as many events as its reader asked for, and holds none. What the reader
 * is told comes one after the other, as gRPC's callbacks do: a call begins after the one before has
 * ended.
 *
 * @param <Q> the request
 * @param <E> an event
 */
final class Relay<Q, E> implements Flow.Subscription {
  private final Calls calls;
  private final MethodDescriptor<Q, E> method;
  private final IntFunction<Q> request;
  private final int resumeAfter;
  private final Fold<E, ?> fold;
  private final Attempts attempts;

  private final Object lock = new Object();

  // Set when reading begins, before anything else sees them.
  private Flow.Subscriber<? super E> reader;
  private Context context;
  private Deadline deadline;
  private final Context.CancellationListener outer = ended -> leave(Calls.ended(ended));

  // Guarded by the lock.
  private ClientCall<Q, E> call;
  private int wanted;
  private boolean isPausing;
  private boolean isOver;
  private boolean isWell;
  private boolean isSilent;
  private Throwable left;

  /**
   * A relay that has not begun.
   *
   * @param request makes the request for what follows a sequence
   * @param resumeAfter the sequence that the caller begins after
   */
  Relay(
      Calls calls,
      MethodDescriptor<Q, E> method,
      IntFunction<Q> request,
      String idempotencyKey,
      int resumeAfter,
      Fold<E, ?> fold) {
    this.calls = calls;
    this.method = method;
    this.request = request;
    this.resumeAfter = resumeAfter;
    this.fold = fold;
    this.attempts = new Attempts(calls.resume(), idempotencyKey);
  }

  /**
   * Begins the first call for the one reader. The deadline and gRPC's Context are this moment's.
   */
  void begin(Flow.Subscriber<? super E> reader) {
    this.reader = reader;
    context = Context.current();
    deadline = calls.deadline();
    reader.onSubscribe(this);
    context.addListener(outer, Runnable::run);
    open();
  }

  /** Whether the answer can be folded: its first event was asked for. */
  boolean isWhole() {
    return resumeAfter == 0;
  }

  /** Whether all of it was read. */
  boolean hasEndedWell() {
    synchronized (lock) {
      return isWell;
    }
  }

  @Override
  public void request(long events) {
    if (events <= 0) {
      leave(new IllegalArgumentException("at least one event is asked for"));
      return;
    }
    ClientCall<Q, E> running;
    int more = (int) Math.min(events, Integer.MAX_VALUE);
    synchronized (lock) {
      wanted = (int) Math.min((long) wanted + more, Integer.MAX_VALUE);
      running = call;
    }
    if (running != null) {
      running.request(more);
    }
  }

  /** Ends the call; the reader hears no more. */
  @Override
  public void cancel() {
    synchronized (lock) {
      isSilent = true;
    }
    leave(ContextBridgeException.cancelled());
  }

  /** Ends the call; the reader hears why. Does nothing after the end. */
  void leave(Throwable why) {
    ClientCall<Q, E> running;
    boolean wasPausing;
    synchronized (lock) {
      if (isOver || left != null) {
        return;
      }
      left = why;
      running = call;
      wasPausing = isPausing;
    }
    if (running != null) {
      running.cancel("The reader left.", why);
    } else if (wasPausing) {
      finish(why);
    }
  }

  private void open() {
    Answers answers = new Answers();
    synchronized (lock) {
      isPausing = false;
    }
    if (left() != null) {
      finish(left());
      return;
    }
    ClientCall<Q, E> opened;
    try {
      opened = calls.channel().newCall(method, CallOptions.DEFAULT.withDeadline(deadline));
      opened.start(answers, new Metadata());
      opened.sendMessage(request.apply(Math.max(resumeAfter, fold.sequence())));
      opened.halfClose();
    } catch (RuntimeException | Error failure) { // Of what supplies the token, above all.
      finish(failure);
      return;
    }
    int first;
    synchronized (lock) {
      if (answers.isClosed) {
        return;
      }
      call = opened;
      first = wanted;
    }
    if (left() != null) { // While the call was not yet there to be cancelled.
      opened.cancel("The reader left.", left());
    }
    if (first > 0) {
      opened.request(first);
    }
  }

  private Throwable left() {
    synchronized (lock) {
      return left;
    }
  }

  /** Tells the reader that nothing follows, or why. */
  private void finish(Throwable failure) {
    boolean tells;
    synchronized (lock) {
      tells = !isOver && !isSilent;
      isWell = isWell || !isOver && failure == null;
      isOver = true;
    }
    context.removeListener(outer);
    if (tells && failure == null) {
      reader.onComplete();
    } else if (tells) {
      reader.onError(failure);
    }
  }

  /** Waits until the rest may be asked for, where it may; else the failure is the reader's. */
  private void getOver(ContextBridgeException failure) {
    if (calls.isEndedHere(context)) {
      finish(Calls.endedHere(context, failure));
      return;
    }
    if (fold.isComplete() && failure.isBreak()) {
      finish(null); // Nothing was lost but the word that all is well.
      return;
    }
    Optional<Duration> pause = attempts.pauseAfter(failure, deadline);
    if (pause.isEmpty() || !fold.isResumable()) {
      finish(failure);
      return;
    }
    synchronized (lock) {
      isPausing = left == null;
    }
    if (left() != null) {
      finish(left());
      return;
    }
    calls.reconnect();
    Executor later = CompletableFuture.delayedExecutor(pause.get().toNanos(), TimeUnit.NANOSECONDS);
    later.execute(context.wrap(this::open));
  }

  /** What one call brings. */
  private final class Answers extends ClientCall.Listener<E> {
    private boolean isClosed; // Guarded by the lock.

    @Override
    public void onMessage(E event) {
      synchronized (lock) {
        if (left != null) {
          return;
        }
        wanted -= 1;
      }
      attempts.beginAgain();
      fold.add(event);
      try {
        reader.onNext(event);
      } catch (RuntimeException | Error failure) {
        leave(failure); // Nobody will read on.
      }
    }

    @Override
    public void onClose(Status status, Metadata trailers) {
      synchronized (lock) {
        isClosed = true;
        call = null;
      }
      // A caller that has the last event asks for what follows it, which is nothing.
      boolean isAll = fold.isComplete() || !isWhole() && fold.sequence() == 0;
      if (left() != null) {
        finish(left());
      } else if (!status.isOk()) {
        getOver(ContextBridgeException.from(status.asRuntimeException(trailers)));
      } else if (isAll) {
        finish(null);
      } else {
        finish(ContextBridgeException.incomplete(fold.lastEvent()));
      }
    }
  }
}
