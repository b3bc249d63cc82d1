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
  private final CudaContext context;
  private final Family family;
  private long read;
  private long written;
  private long elements;
  private long flops;
  private long rounds;

  Work(CudaContext context, Family family) {
    this.context = context;
    this.family = family;
  }

  /** Values read, each once; a null among them is left out. */
  Work reads(Value... values) {
    read += bytes(values);
    elements += elements(values);
    return this;
  }

  /** As many values of the same shape as one. */
  Work reads(int times, Value one) {
    read += times * bytes(one);
    elements += times * elements(one);
    return this;
  }

  private long bytes(Value... values) {
    return Arrays.stream(values).filter(Objects::nonNull).mapToLong(context::bytes).sum();
  }

  private static long elements(Value... values) {
    return Arrays.stream(values)
        .filter(Objects::nonNull)
        .mapToLong(v -> v.shape().elements())
        .sum();
  }

  /** Bytes of f32 read beside values. */
  Work reads(long bytes) {
    read += bytes;
    elements += bytes / Float.BYTES;
    return this;
  }

  /** Values written; a null among them is left out. */
  Work writes(Value... values) {
    written += bytes(values);
    elements += elements(values);
    return this;
  }

  /** Elements that threads load beside those counted: the same bytes again, from a cache. */
  Work again(long loads) {
    elements += loads;
    return this;
  }

  /** Bytes of f32 written beside values. */
  Work writes(long bytes) {
    written += bytes;
    elements += bytes / Float.BYTES;
    return this;
  }

  /** Two a multiply-add. */
  Work flops(long count) {
    flops = count;
    return this;
  }

  /** Loads of one thread of which each waits for the one before, beside those of {@link #over}. */
  Work rounds(long count) {
    rounds += count;
    return this;
  }

  /**
   * A loop over items that so many threads or blocks share: a load for each that one of them has.
   */
  Work over(long items, long sharers) {
    return rounds((items + sharers - 1) / sharers);
  }

  /** Elements of images read beside values. */
  Work readsImages(long count) {
    read += count * context.imageBytes();
    elements += count;
    return this;
  }

  /** Elements of images written beside values. */
  Work writesImages(long count) {
    written += count * context.imageBytes();
    elements += count;
    return this;
  }

  /**
   * Parts of sums that blocks write and the last of them reads: by four threads a sum, eight loads
   * at once, after it has taken its ticket; then what it leaves.
   *
   * @param bytes of a part
   */
  Work parts(int parts, long bytes) {
    written += parts * bytes;
    read += parts * bytes;
    // Of the multiprocessors that sum, only those whose blocks are last have these to do.
    return rounds(2 + (parts + 31) / 32);
  }

  /** As a kernel of ours. */
  Launch kernel(String name, int[] grid, int[] block) {
    Extent blocks = new Extent(grid[0], grid[1], grid[2]);
    Extent threads = new Extent(block[0], block[1], block[2]);
    return new Launch(
        family, name, blocks, threads, List.of(), read, written, elements, flops, rounds);
  }

  /** As a call of a library, which chooses grid and block. */
  Launch library(String call, List<Long> sizes) {
    return new Launch(family, call, null, null, sizes, read, written, elements, flops, 0);
  }
}
