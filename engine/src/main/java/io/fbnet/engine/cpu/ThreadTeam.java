package io.fbnet.engine.cpu;

import java.util.concurrent.locks.LockSupport;

/**
 * A fixed team of threads that all run one task, each with its own number. Work is divided by
 * thread number, never by who comes first, so that sums are added in the same order every time.
 */
// Yielding decides only how long a wait burns a core, never what is computed.
@SuppressWarnings("ThreadPriorityCheck")
final class ThreadTeam implements AutoCloseable {
  /** A share of a task. */
  interface Task {
    void run(int thread);
  }

  /** Turns of a waiting loop before a thread sleeps: some ten microseconds. */
  private static final int SPINS = 2_000;

  private final Worker[] workers;
  private Task task;
  private volatile int generation;
  private volatile boolean closed;
  private volatile Throwable failure;

  ThreadTeam(int threads) {
    workers = new Worker[threads - 1];
    for (int i = 0; i < workers.length; i++) {
      workers[i] = new Worker(i + 1);
      workers[i].setDaemon(true);
      workers[i].start();
    }
  }

  int threads() {
    return workers.length + 1;
  }

  /** Runs the task on every thread; returns when all have finished. */
  void run(Task t) {
    if (workers.length == 0) {
      t.run(0);
      return;
    }
    task = t;
    int next = generation + 1;
    generation = next;
    for (Worker worker : workers) {
      if (worker.asleep) {
        LockSupport.unpark(worker);
      }
    }
    try {
      t.run(0);
    } finally {
      for (Worker worker : workers) {
        int spins = 0;
        while (worker.done != next) {
          if (++spins > SPINS) {
            Thread.yield();
          } else {
            Thread.onSpinWait();
          }
        }
      }
    }
    Throwable thrown = failure;
    if (thrown != null) {
      failure = null;
      throw new IllegalStateException("a thread of the CPU back end failed", thrown);
    }
  }

  /** The first of {@code n} pieces of work that belongs to {@code thread}. */
  static int from(int n, int thread, int threads) {
    return (int) ((long) n * thread / threads);
  }

  @Override
  public void close() {
    closed = true;
    int last = generation + 1;
    generation = last;
    for (Worker worker : workers) {
      LockSupport.unpark(worker);
    }
  }

  private final class Worker extends Thread {
    private final int number;
    private volatile int done;
    private volatile boolean asleep;

    Worker(int number) {
      super("fbnet-cpu-" + number);
      this.number = number;
    }

    @Override
    public void run() {
      int seen = 0;
      while (true) {
        int spins = 0;
        while (generation == seen) {
          if (++spins > SPINS) {
            asleep = true;
            if (generation == seen) {
              LockSupport.park(ThreadTeam.this);
            }
            asleep = false;
          } else {
            Thread.onSpinWait();
          }
        }
        seen = generation;
        if (closed) {
          return;
        }
        try {
          task.run(number);
        } catch (Throwable t) {
          failure = t;
        }
        done = seen;
      }
    }
  }
}
