package io.fbnet.engine.cpu;

import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;

/**
 * A fixed team of threads for one task at a time, cut into as many shares as there are threads.
 * What a share computes depends on its number alone, so sums are added in the same order every
 * time; who carries it out does not matter, and the caller takes shares that no helper has begun:
 * on a busy machine nobody waits for a thread that is not running.
 */
// Yielding decides only how long a wait burns a core, never what is computed.
@SuppressWarnings("ThreadPriorityCheck")
final class ThreadTeam implements AutoCloseable {
  /** A task, cut into shares. */
  interface Task {
    void run(int share);
  }

  /**
   * Turns of a waiting loop before a thread sleeps: about a hundred microseconds. Waking a thread
   * costs tens of them on a virtual machine, and the next task usually comes sooner. The loops do
   * not call onSpinWait: its instruction makes a hypervisor take the processor away.
   */
  private static final int SPINS = 100_000;

  private final int shares;
  private final Helper[] helpers;
  private final Runnable preparation;
  private final AtomicInteger claimed = new AtomicInteger(Integer.MAX_VALUE / 2);
  private final AtomicInteger finished = new AtomicInteger();
  private Task task;
  private volatile int generation;
  private volatile boolean closed;
  private volatile Throwable failure;

  /**
   * Starts the helpers.
   *
   * @param preparation what each helper does once before its first share
   */
  ThreadTeam(int threads, Runnable preparation) {
    shares = threads;
    this.preparation = preparation;
    helpers = new Helper[threads - 1];
    for (int i = 0; i < helpers.length; i++) {
      helpers[i] = new Helper(i + 1);
      helpers[i].setDaemon(true);
      helpers[i].start();
    }
  }

  int threads() {
    return shares;
  }

  /** Runs every share; returns when all have finished. */
  void run(Task t) {
    if (shares == 1) {
      t.run(0);
      return;
    }
    // A helper that still looks for work of the last task finds none or finds this one: the task
    // is written before the counter that lets it be claimed.
    task = t;
    finished.set(0);
    claimed.set(0);
    int next = generation + 1;
    generation = next;
    for (Helper helper : helpers) {
      if (helper.asleep) {
        LockSupport.unpark(helper);
      }
    }
    work();
    int spins = 0;
    while (finished.get() < shares) {
      if (++spins > SPINS) {
        Thread.yield();
      }
    }
    Throwable thrown = failure;
    if (thrown != null) {
      failure = null;
      throw new IllegalStateException("a kernel of the CPU back end failed", thrown);
    }
  }

  private void work() {
    int share;
    while ((share = claimed.getAndIncrement()) < shares) {
      try {
        task.run(share);
      } catch (Throwable t) {
        failure = t;
      }
      finished.incrementAndGet();
    }
  }

  /** The first of {@code n} pieces of work that belongs to {@code share}. */
  static int from(int n, int share, int shares) {
    return (int) ((long) n * share / shares);
  }

  /** Ends the helpers; none is left when it returns. */
  @Override
  public void close() {
    closed = true;
    boolean interrupted = false;
    for (Helper helper : helpers) {
      LockSupport.unpark(helper);
    }
    for (Helper helper : helpers) {
      while (helper.isAlive()) {
        try {
          helper.join();
        } catch (InterruptedException e) {
          interrupted = true;
        }
      }
    }
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
  }

  private final class Helper extends Thread {
    private volatile boolean asleep;

    Helper(int number) {
      super("fbnet-cpu-" + number);
    }

    @Override
    public void run() {
      preparation.run();
      int seen = 0;
      while (!closed) {
        int spins = 0;
        while (generation == seen && !closed) {
          if (++spins > SPINS) {
            asleep = true;
            if (generation == seen && !closed) {
              LockSupport.park(ThreadTeam.this);
            }
            asleep = false;
          }
        }
        seen = generation;
        work();
      }
    }
  }
}
