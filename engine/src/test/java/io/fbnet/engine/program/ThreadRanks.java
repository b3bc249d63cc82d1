package io.fbnet.engine.program;

import static java.lang.foreign.ValueLayout.JAVA_DOUBLE_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT_UNALIGNED;

import io.fbnet.engine.backend.Communicator;
import io.fbnet.engine.backend.RankFailure;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BrokenBarrierException;
import java.util.concurrent.Callable;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** Ranks that are threads of this process. */
public final class ThreadRanks {
  private static final int PATIENCE_SECONDS = 60;

  private final CyclicBarrier barrier;
  private final byte[][] given;

  private ThreadRanks(int size) {
    barrier = new CyclicBarrier(size);
    given = new byte[size][];
  }

  /** What one rank does. */
  @FunctionalInterface
  public interface Work<T> {
    T run(Communicator ranks) throws Exception;
  }

  /** What each of so many ranks gives; the first failure where one fails. */
  public static <T> List<T> run(int size, Work<T> work) throws Exception {
    ThreadRanks ranks = new ThreadRanks(size);
    List<T> results = new ArrayList<>();
    try (ExecutorService threads = Executors.newFixedThreadPool(size)) {
      List<Callable<T>> tasks = new ArrayList<>();
      for (int r = 0; r < size; r++) {
        Communicator own = ranks.new Rank(r);
        tasks.add(() -> work.run(own));
      }
      for (Future<T> future : threads.invokeAll(tasks)) {
        results.add(future.get());
      }
    } catch (ExecutionException e) {
      throw e.getCause() instanceof Exception cause ? cause : e;
    }
    return results;
  }

  private final class Rank implements Communicator {
    private final int rank;

    Rank(int rank) {
      this.rank = rank;
    }

    @Override
    public int rank() {
      return rank;
    }

    @Override
    public int size() {
      return given.length;
    }

    @Override
    public int localRank() {
      return rank;
    }

    @Override
    public int localSize() {
      return size();
    }

    @Override
    public Duration patience() {
      return Duration.ofSeconds(PATIENCE_SECONDS);
    }

    @Override
    public void mean(MemorySegment elements, int elementBytes) {
      List<byte[]> all = gather(elements.toArray(java.lang.foreign.ValueLayout.JAVA_BYTE));
      List<MemorySegment> parts = all.stream().map(MemorySegment::ofArray).toList();
      for (long i = 0; i < elements.byteSize() / elementBytes; i++) {
        if (elementBytes == Float.BYTES) {
          float sum = 0;
          for (MemorySegment part : parts) {
            sum += part.getAtIndex(JAVA_FLOAT_UNALIGNED, i);
          }
          elements.setAtIndex(JAVA_FLOAT_UNALIGNED, i, sum / size());
        } else {
          double sum = 0;
          for (MemorySegment part : parts) {
            sum += part.getAtIndex(JAVA_DOUBLE_UNALIGNED, i);
          }
          elements.setAtIndex(JAVA_DOUBLE_UNALIGNED, i, sum / size());
        }
      }
    }

    @Override
    public void broadcast(MemorySegment bytes, int root) {
      byte[] from = gather(bytes.toArray(java.lang.foreign.ValueLayout.JAVA_BYTE)).get(root);
      MemorySegment.copy(MemorySegment.ofArray(from), 0, bytes, 0, from.length);
    }

    @Override
    public List<byte[]> gather(byte[] bytes) {
      given[rank] = bytes.clone();
      barrier();
      List<byte[]> all = List.of(given.clone());
      barrier();
      return all;
    }

    @Override
    public void barrier() {
      try {
        barrier.await(PATIENCE_SECONDS, TimeUnit.SECONDS);
      } catch (InterruptedException | BrokenBarrierException | TimeoutException e) {
        throw new RankFailure("a rank did not come", e);
      }
    }

    @Override
    public void close() {}
  }
}
