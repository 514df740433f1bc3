package dev.contextbridge.client;

/**
 * Takes a stream's events in order and gives the answer that the unary call would have given.
 *
 * @param <E> an event
 * @param <A> the whole answer
 */
abstract class Fold<E, A> {
  // Whoever holds the stream may ask how far it is while another thread reads it.
  private volatile int sequence;
  private boolean complete;
  private boolean resumable = true;

  /** What a whole stream ends with, for people. */
  abstract String lastEvent();

  /** Takes the next event. */
  abstract void add(E event);

  /** The text that an event brings to one choice or candidate; empty for none. */
  abstract String text(E event, int index);

  /** The answer so far. */
  abstract A answer();

  /** The place of the newest event in its generation, from 1. 0 before the first. */
  final int sequence() {
    return sequence;
  }

  /** Whether the last event was seen. */
  final boolean isComplete() {
    return complete;
  }

  /** Whether the server can give the rest again, as far as it has said. */
  final boolean isResumable() {
    return resumable;
  }

  final void reached(int sequence) {
    this.sequence = sequence;
  }

  final void completed() {
    complete = true;
  }

  final void resumable(boolean resumable) {
    this.resumable = resumable;
  }
}
