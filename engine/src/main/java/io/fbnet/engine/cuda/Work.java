package io.fbnet.engine.cuda;

import io.fbnet.engine.backend.Launch;
import io.fbnet.engine.backend.Launch.Extent;
import io.fbnet.engine.backend.Launch.Family;
import io.fbnet.engine.graph.Value;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;

/**
 * What a kernel moves and computes, counted from shapes where it is made: the launch table of a
 * step, which stands in for a profile where there is no GPU.
 */
final class Work {
  /** What a thread loads at once where nothing else is said. */
  private static final long LOAD_BYTES = 16;

  private final CudaContext context;
  private final Family family;
  private long read;
  private long written;
  private long flops;
  private long rounds;
  private long endRounds;

  Work(CudaContext context, Family family) {
    this.context = context;
    this.family = family;
  }

  /** Values read, each once; a null among them is left out. */
  Work reads(Value... values) {
    read += bytes(values);
    return this;
  }

  private long bytes(Value... values) {
    return Arrays.stream(values).filter(Objects::nonNull).mapToLong(context::bytes).sum();
  }

  /** Bytes read beside values. */
  Work reads(long bytes) {
    read += bytes;
    return this;
  }

  /** Values written; a null among them is left out. */
  Work writes(Value... values) {
    written += bytes(values);
    return this;
  }

  /** Bytes written beside values. */
  Work writes(long bytes) {
    written += bytes;
    return this;
  }

  /** Two a multiply-add. */
  Work flops(long count) {
    flops = count;
    return this;
  }

  /**
   * Loads of one thread of which each waits for the one before. Without this they are what the
   * threads take to load everything, 16 bytes each at a time.
   */
  Work rounds(long count) {
    rounds = count;
    return this;
  }

  /**
   * Parts of sums that blocks write and the last of them reads: by four threads a sum, eight loads
   * at once, after it has taken its ticket.
   *
   * @param bytes of a part
   */
  Work parts(int parts, long bytes) {
    written += parts * bytes;
    read += parts * bytes;
    endRounds = 1 + (parts + 31) / 32;
    return this;
  }

  /** As a kernel of ours. */
  Launch kernel(String name, int[] grid, int[] block) {
    Extent blocks = new Extent(grid[0], grid[1], grid[2]);
    Extent threads = new Extent(block[0], block[1], block[2]);
    long aRound = blocks.count() * threads.count() * LOAD_BYTES;
    long loads = rounds > 0 ? rounds : Math.max(1, (read + aRound - 1) / aRound);
    return new Launch(
        family, name, blocks, threads, List.of(), read, written, flops, loads + endRounds);
  }

  /** As a call of a library, which chooses grid and block. */
  Launch library(String call, List<Long> sizes) {
    return new Launch(family, call, null, null, sizes, read, written, flops, 0);
  }
}
