package io.fbnet.engine.cuda;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.backend.Launch.Family;
import io.fbnet.engine.cuda.CudaProduct.Operand;
import io.fbnet.foreign.CudaArguments;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Products of a bank's 1x1 convolutions by a kernel of ours, which does on the way what would be
 * passes over the images by themselves: normalising what it reads, and the statistics of what it
 * writes. Only in bf16, of whole 16 bytes; {@link OwnProducts} says where it is taken.
 */
final class BankProduct {
  private static final String FILE = "bank_product";

  // As bank_product.h has them.
  private static final int TILE_PIXELS = 128;
  private static final int TILE_INNER = 32;
  private static final int STAGES = 3;
  private static final int NARROW = 32;
  private static final int WIDE = 64;
  private static final int INTS_OF_FACTOR = 8;

  /** Elements in 16 bytes: what sizes and distances must be multiples of. */
  static final int VECTOR = 8;

  private static final int BLOCKS_PER_MULTIPROCESSOR = 3;

  /** Parts of a sum that the last block still adds quickly. */
  private static final int MOST_PARTS = 128;

  private final CudaContext context;
  private final Operand a;
  private final Operand d;
  private final List<Factor> factors;
  private final boolean stored;
  private final int tileColumns;
  private final int[] parts;

  /**
   * One of the products of a launch: d = a w^T.
   *
   * @param a pixels by inner size, columns of what all of them read
   * @param w columns by inner size; of a gradient, d = a w, inner size by columns
   * @param d pixels by columns, columns of what all of them write
   */
  record Factor(Operand a, Operand w, Operand d) {
    private long steps() {
      return Math.ceilDiv(a.columns(), TILE_INNER);
    }
  }

  private BankProduct(
      CudaContext context, Operand a, Operand d, List<Factor> factors, boolean stored) {
    this.context = context;
    this.a = a;
    this.d = d;
    this.factors = factors;
    this.stored = stored;
    // Wide tiles read a less often, where there are enough of them.
    boolean wide = factors.stream().anyMatch(f -> f.d().columns() > NARROW);
    tileColumns = wide && jobs() * tiles(WIDE) >= context.multiprocessors() ? WIDE : NARROW;
    parts = parts();
  }

  /**
   * The products of one launch.
   *
   * @param a what all of them read
   * @param normalised numbers of a's columns by which it is normalised while it is read; null where
   *     it is read as it is
   * @param d what all of them write
   * @param statistics of d, null where nobody wants them
   */
  static Kernel of(
      CudaContext context,
      Operand a,
      CudaNorm.Numbers normalised,
      Operand d,
      List<Factor> factors,
      CudaNorm.Statistics statistics) {
    return new BankProduct(context, a, d, factors, true).kernel(normalised, statistics);
  }

  /**
   * The gradients in the images of the products of one launch, d = a w, and the sums that the
   * gradient of the norm before those products needs.
   *
   * @param a the products' gradient
   * @param d takes those in what the norm gave, as many pixels and channels as it read
   * @param stored whether d is written; else the sums alone are made, and what the norm read may
   *     stand for it
   */
  static Kernel gradient(
      CudaContext context,
      Operand a,
      Operand d,
      List<Factor> factors,
      CudaNorm.GradientSums sums,
      boolean stored) {
    return new BankProduct(context, a, d, factors, stored).kernel(sums);
  }

  private long jobs() {
    return Math.ceilDiv(d.rows(), TILE_PIXELS);
  }

  private long tiles(int columns) {
    return factors.stream().mapToLong(f -> Math.ceilDiv(f.d().columns(), columns)).sum();
  }

  private int tiles(Factor f) {
    return Math.toIntExact(Math.ceilDiv(f.d().columns(), tileColumns));
  }

  /** As many blocks as run at once, shared out so that all have about as much to do. */
  private int[] parts() {
    long steps = factors.stream().mapToLong(f -> tiles(f) * f.steps()).sum();
    long room = context.blocksAtOnce(BLOCKS_PER_MULTIPROCESSOR);
    return factors.stream()
        .mapToLong(f -> Math.clamp(room * f.steps() / steps, 1, Math.min(jobs(), MOST_PARTS)))
        .mapToInt(most -> (int) Math.ceilDiv(jobs(), Math.ceilDiv(jobs(), most)))
        .toArray();
  }

  private Kernel kernel(CudaNorm.Numbers normalised, CudaNorm.Statistics statistics) {
    CudaArguments arguments = arguments(statistics != null);
    (statistics == null ? CudaNorm.Statistics.NONE : statistics).after(arguments);
    Work work = work(0);
    if (statistics != null) {
      summed(work.writes(16L * d.columns()));
    }
    if (normalised == null) {
      return kernel(work, "_", arguments);
    }
    normalised.after(arguments).i32(normalised.relu() ? 1 : 0);
    long columns = factors.stream().mapToLong(f -> f.a().columns()).sum();
    return kernel(work.reads(16L * columns), "_normalised_", arguments);
  }

  private Kernel kernel(CudaNorm.GradientSums sums) {
    CudaArguments arguments = arguments(true).pointer(sums.x());
    sums.ends(sums.numbers().after(arguments).i32(sums.numbers().relu() ? 1 : 0));
    long columns = factors.stream().mapToLong(f -> f.d().columns()).sum();
    // The images of a tile come in as many steps as a warp has rows of results.
    Work work = work(tileColumns / NARROW).readsImages(d.rows() * columns);
    return kernel(summed(work.reads(16L * columns).writes(16L * columns)), "_gradient_", arguments);
  }

  private Kernel kernel(Work work, String kind, CudaArguments arguments) {
    return context.kernel(
        work,
        FILE,
        FILE + kind + tileColumns,
        new int[] {blocks(), 1, 1},
        CudaContext.THREADS,
        arguments);
  }

  private int blocks() {
    return IntStream.range(0, parts.length).map(i -> parts[i] * tiles(factors.get(i))).sum();
  }

  /** What all kinds take: the operands and the table of factors, and what sums need. */
  private CudaArguments arguments(boolean summed) {
    int[] table = new int[factors.size() * INTS_OF_FACTOR];
    int blocks = 0;
    for (int i = 0; i < factors.size(); i++) {
      Factor f = factors.get(i);
      int[] row = {
        place(f.a(), a),
        Math.toIntExact(f.a().columns()),
        place(f.w(), factors.getFirst().w()),
        Math.toIntExact(f.w().leading()),
        place(f.d(), d),
        Math.toIntExact(f.d().columns()),
        blocks,
        parts[i]
      };
      System.arraycopy(row, 0, table, i * INTS_OF_FACTOR, INTS_OF_FACTOR);
      blocks += parts[i] * tiles(f);
    }
    int columns = Math.toIntExact(d.columns());
    return new CudaArguments()
        .pointer(a.memory())
        .i32(Math.toIntExact(a.leading()))
        .pointer(factors.getFirst().w().memory())
        .pointer(stored ? d.memory() : null)
        .i32(Math.toIntExact(d.leading()))
        .i32(Math.toIntExact(d.rows()))
        .pointer(context.upload(table))
        .i32(factors.size())
        .pointer(summed ? context.scratch("partial", 8L * most() * columns) : null)
        // A ticket for each eight columns: tiles may begin at any of them.
        .pointer(summed ? context.tickets(columns * 32 / VECTOR) : null);
  }

  /** Elements before an operand that lies in another. */
  static int place(Operand of, Operand whole) {
    return Math.toIntExact(
        (of.memory().address() - whole.memory().address()) / whole.type().bytes());
  }

  /**
   * Every image once; a block's steps of its inner size, of which two are on their way at once.
   *
   * @param more steps behind those of the inner size
   */
  private Work work(int more) {
    Work work = context.work(Family.BANK_PRODUCT);
    long flops = 0;
    long rounds = 0;
    for (int i = 0; i < parts.length; i++) {
      Factor f = factors.get(i);
      work.readsImages(f.a().columns() * d.rows() + f.w().rows() * f.w().columns());
      work.writesImages(stored ? f.d().columns() * d.rows() : 0);
      flops += 2 * d.rows() * f.a().columns() * f.d().columns();
      rounds = Math.max(rounds, Math.ceilDiv(jobs(), parts[i]) * (f.steps() + more));
    }
    return work.flops(flops).rounds(Math.ceilDiv(rounds, STAGES - 1));
  }

  /**
   * As {@link Work#parts}, but each product has its own number of them, and 16 are loaded at once.
   */
  private Work summed(Work work) {
    long sums = 0;
    for (int i = 0; i < parts.length; i++) {
      sums += 8L * parts[i] * factors.get(i).d().columns();
    }
    return work.writes(sums).reads(sums).rounds(5 + Math.ceilDiv(most(), 16));
  }

  private int most() {
    return Arrays.stream(parts).max().orElseThrow();
  }
}
