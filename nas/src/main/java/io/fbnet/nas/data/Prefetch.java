package io.fbnet.nas.data;

import io.fbnet.nas.UserException;
import java.util.ArrayDeque;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/** The reading thread of one started epoch and the two queues between it and its reader. */
final class Prefetch {
  /** Writes one batch of the epoch into a slot and returns how many images are real. */
  interface Filling {
    int fill(BatchSlot slot, int batch);
  }

  private final ReentrantLock lock = new ReentrantLock();
  private final Condition changed = lock.newCondition();
  private final ArrayDeque<BatchSlot> free;
  private final ArrayDeque<Batch> filled = new ArrayDeque<>();
  private final int slots;
  private final Thread thread;
  private int held;
  private boolean finished;
  private boolean stopped;
  private Optional<Throwable> failure = Optional.empty();

  Prefetch(List<BatchSlot> slots, int batches, int firstBatch, Filling filling) {
    free = new ArrayDeque<>(slots);
    this.slots = slots.size();
    thread =
        Thread.ofPlatform()
            .daemon()
            .name("batch-loader")
            .unstarted(() -> read(batches, firstBatch, filling));
    thread.start();
  }

  /** The next batch; empty where the epoch is over. */
  Optional<Batch> take() throws InterruptedException {
    lock.lockInterruptibly();
    try {
      while (filled.isEmpty() && !finished) {
        if (held == slots) {
          throw new IllegalStateException("every slot is held: release a batch first");
        }
        changed.await();
      }
      if (!filled.isEmpty()) {
        held++;
        return Optional.of(filled.remove());
      }
    } finally {
      lock.unlock();
    }
    failure.ifPresent(Prefetch::rethrow);
    return Optional.empty();
  }

  /** Ends the thread and waits for it, so that nobody writes to a slot afterwards. */
  void stop() {
    lock.lock();
    try {
      stopped = true;
      changed.signalAll();
    } finally {
      lock.unlock();
    }
    boolean interrupted = false;
    while (thread.isAlive()) {
      try {
        thread.join();
      } catch (InterruptedException e) {
        interrupted = true;
      }
    }
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
  }

  private void read(int batches, int firstBatch, Filling filling) {
    Optional<Throwable> failed = Optional.empty();
    try {
      for (int batch = firstBatch; batch < batches; batch++) {
        Optional<BatchSlot> slot = awaitFree();
        if (slot.isEmpty()) {
          return;
        }
        publish(slot.get(), batch, filling.fill(slot.get(), batch));
      }
    } catch (Throwable t) {
      // Whatever it was, the training loop must hear of it and not wait for ever.
      failed = Optional.of(t);
    }
    lock.lock();
    try {
      failure = failed;
      finished = true;
      changed.signalAll();
    } finally {
      lock.unlock();
    }
  }

  private Optional<BatchSlot> awaitFree() {
    lock.lock();
    try {
      while (free.isEmpty() && !stopped) {
        changed.awaitUninterruptibly();
      }
      return stopped ? Optional.empty() : Optional.of(free.remove());
    } finally {
      lock.unlock();
    }
  }

  private void publish(BatchSlot slot, int batch, int count) {
    lock.lock();
    try {
      filled.add(new Batch(slot, batch, count, () -> recycle(slot)));
      changed.signalAll();
    } finally {
      lock.unlock();
    }
  }

  private void recycle(BatchSlot slot) {
    lock.lock();
    try {
      held--;
      free.add(slot);
      changed.signalAll();
    } finally {
      lock.unlock();
    }
  }

  private static void rethrow(Throwable failure) {
    switch (failure) {
      case UserException user -> throw new UserException(user.exitCode(), user.getMessage(), user);
      case InternalError lost ->
          // The JVM's way to say that a page of a mapped file could not be read.
          throw UserException.storage(
              lost, "The cache of decoded images was changed or lost while in use; start again.");
      default -> throw new IllegalStateException("reading a batch failed: " + failure, failure);
    }
  }
}
