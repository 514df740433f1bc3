package dev.contextbridge.client;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.Context;
import io.grpc.Contexts;
import io.grpc.Deadline;
import io.grpc.ManagedChannel;
import io.grpc.MethodDescriptor;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCalls;
import java.time.Duration;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;

/**
 * Makes calls within their deadline, and makes them again where they break and have a name.
 *
 * @param connection the channel itself
 * @param channel the same, with the caller's secrets on every call
 * @param timeout the deadline of each call; null sets none
 * @param resume how calls that break are taken up again
 */
record Calls(ManagedChannel connection, Channel channel, Duration timeout, Resume resume) {
  /** Longer timeouts are none: gRPC has no word for them. */
  private static final Duration LONGEST_TIMEOUT = Duration.ofDays(3650);

  Calls {
    if (timeout != null && timeout.compareTo(LONGEST_TIMEOUT) > 0) {
      timeout = null;
    }
  }

  /** The deadline of a call that begins now. Null for none. */
  Deadline deadline() {
    Deadline outer = Context.current().getDeadline();
    if (timeout == null) {
      return outer;
    }
    Deadline own = Deadline.after(timeout.toNanos(), TimeUnit.NANOSECONDS);
    return outer == null ? own : own.minimum(outer);
  }

  /** Makes a call with one answer. */
  <Q, R> R unary(MethodDescriptor<Q, R> method, Q request) {
    return unary(method, request, "");
  }

  /** Makes a call with one answer, and makes it again after a break where it has a name. */
  <Q, R> R unary(MethodDescriptor<Q, R> method, Q request, String idempotencyKey) {
    Deadline deadline = deadline();
    CallOptions options = CallOptions.DEFAULT.withDeadline(deadline);
    Attempts attempts = new Attempts(resume, idempotencyKey);
    while (true) {
      try {
        return ClientCalls.blockingUnaryCall(channel, method, options, request);
      } catch (StatusRuntimeException error) {
        ContextBridgeException failure = ContextBridgeException.from(error);
        if (Thread.currentThread().isInterrupted() || isEndedHere(Context.current())) {
          throw endedHere(Context.current(), failure);
        }
        sleep(attempts.pauseAfter(failure, deadline).orElseThrow(() -> failure));
      }
    }
  }

  /** Whether calls end because this side wants them to. */
  boolean isEndedHere(Context context) {
    return context.isCancelled() || connection.isShutdown();
  }

  /** Why a call has ended here: its Context, where only a break came before; else its failure. */
  static ContextBridgeException endedHere(Context context, ContextBridgeException failure) {
    return failure.isBreak() && context.isCancelled() ? ended(context) : failure;
  }

  /** Sees to it that the next try is one to connect. */
  void reconnect() {
    connection.resetConnectBackoff();
  }

  /** Waits; ends early where the thread is interrupted or its Context is cancelled. */
  private void sleep(Duration pause) {
    reconnect();
    Context context = Context.current();
    CountDownLatch left = new CountDownLatch(1);
    Context.CancellationListener leave = cancelled -> left.countDown();
    context.addListener(leave, Runnable::run);
    try {
      if (left.await(pause.toNanos(), TimeUnit.NANOSECONDS)) {
        throw ended(context);
      }
    } catch (InterruptedException interruption) {
      Thread.currentThread().interrupt();
      throw ContextBridgeException.interrupted(interruption);
    } finally {
      context.removeListener(leave);
    }
  }

  /** The failure of calls whose Context was cancelled. */
  static ContextBridgeException ended(Context context) {
    return ContextBridgeException.from(Contexts.statusFromCancelled(context).asRuntimeException());
  }

  /**
   * All pages of a list as one.
   *
   * @param first the token of the first page
   * @param fetch gets the page with a token
   * @param items what is on a page
   * @param next the token of the page after it; empty after the last
   */
  static <P, T> Iterable<T> pages(
      String first,
      Function<String, P> fetch,
      Function<P, List<T>> items,
      Function<P, String> next) {
    return () ->
        new Iterator<>() {
          private Iterator<T> page = List.<T>of().iterator();
          private String token = first;
          private boolean isLast;

          @Override
          public boolean hasNext() {
            while (!page.hasNext() && !isLast) {
              P fetched = fetch.apply(token);
              page = items.apply(fetched).iterator();
              token = next.apply(fetched);
              isLast = token.isEmpty();
            }
            return page.hasNext();
          }

          @Override
          public T next() {
            if (!hasNext()) {
              throw new NoSuchElementException();
            }
            return page.next();
          }
        };
  }
}
