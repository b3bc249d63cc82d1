package io.fbnet.engine.cuda;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.backend.Launch.Family;
import io.fbnet.engine.cuda.BankProduct.Factor;
import io.fbnet.engine.cuda.CudaProduct.Operand;
import io.fbnet.foreign.CudaArguments;
import java.lang.foreign.MemorySegment;
import java.util.List;

/**
 * The gradient of a bank's last convolutions and of the norm before them by one kernel of ours,
 * {@code project_gradient.cu}, once the sums of that norm's gradient are there: in what the norm
 * read, and in the weights. What passes between the two is in shared memory alone.
 */
final class ProjectGradient {
  /** Of a candidate. */
  static final int MOST_OUTPUTS = 64;

  private static final String FILE = "project_gradient";

  // As project_gradient.cu has them.
  private static final int TILE_PIXELS = 64;
  private static final int TILE_COLUMNS = 64;
  private static final int NARROW = 32;
  private static final int INTS_OF_CANDIDATE = 9;

  private static final int BLOCKS_PER_MULTIPROCESSOR = 2;

  private final CudaContext context;
  private final Operand a;
  private final Operand x;
  private final Operand d;
  private final List<Factor> factors;
  private final int jobs;
  private final int tiles;
  private final int parts;

  /**
   * For one bank.
   *
   * @param a gradient of what the convolutions gave, bf16, pixels by all outputs
   * @param x what the norm read, bf16, pixels by all channels
   * @param d takes the gradient in x
   * @param factors of each candidate: its columns of a, its weights, outputs by channels, and its
   *     columns of d; all with as many outputs, at most {@link #MOST_OUTPUTS}
   */
  ProjectGradient(CudaContext context, Operand a, Operand x, Operand d, List<Factor> factors) {
    this.context = context;
    this.a = a;
    this.x = x;
    this.d = d;
    this.factors = factors;
    jobs = Math.toIntExact(Math.ceilDiv(d.rows(), TILE_PIXELS));
    tiles = factors.stream().mapToInt(ProjectGradient::tiles).sum();
    int blocks = context.blocksAtOnce(BLOCKS_PER_MULTIPROCESSOR);
    parts = CudaDepthwise.parts(jobs, blocks, tiles);
  }

  private static int tiles(Factor f) {
    return Math.toIntExact(Math.ceilDiv(f.d().columns(), TILE_COLUMNS));
  }

  /**
   * Sums over parts of the pixels.
   *
   * @param first of the first part
   * @param parts to be added
   * @param apart elements from one part to the next
   */
  record Parts(MemorySegment first, int parts, int apart) {}

  /** The gradient of a candidate's weights, f32, outputs by channels, once the kernel has run. */
  Parts weights(int candidate) {
    return new Parts(
        partial().asSlice((long) Float.BYTES * sums(candidate)), parts, elements(candidate));
  }

  private int elements(int candidate) {
    Factor f = factors.get(candidate);
    return Math.toIntExact(f.w().rows() * f.w().columns());
  }

  /** Elements of all parts of the candidates before. */
  private int sums(int candidate) {
    int sums = 0;
    for (int i = 0; i < candidate; i++) {
      sums = Math.addExact(sums, Math.multiplyExact(parts, elements(i)));
    }
    return sums;
  }

  private MemorySegment partial() {
    return context.scratch("project sums", (long) Float.BYTES * sums(factors.size()));
  }

  /**
   * The kernel.
   *
   * @param numbers of the norm
   * @param means of its gradient, f32 [2][channels]
   * @param ofWeights whether the gradient of the weights is wanted too
   */
  Kernel kernel(CudaNorm.Numbers numbers, MemorySegment means, boolean ofWeights) {
    int inner = Math.toIntExact(factors.getFirst().w().rows()) <= NARROW ? NARROW : MOST_OUTPUTS;
    long cells = d.rows() * d.columns();
    long weights = factors.stream().mapToLong(f -> f.w().rows() * f.w().columns()).sum();
    long flops = 2 * d.rows() * weights;
    int ahead = inner == NARROW ? 2 : 1;
    int columns = Math.toIntExact(d.columns());
    CudaArguments arguments =
        new CudaArguments()
            .pointer(a.memory())
            .i32(Math.toIntExact(a.leading()))
            .pointer(factors.getFirst().w().memory())
            .pointer(x.memory())
            .pointer(d.memory())
            .i32(columns)
            .i32(Math.toIntExact(d.rows()))
            .pointer(table())
            .i32(factors.size());
    return context.kernel(
        context
            .work(Family.BANK_PRODUCT)
            .readsImages(d.rows() * a.columns() + weights + cells)
            .writesImages(cells)
            .reads(24L * columns)
            .writes(ofWeights ? Float.BYTES * weights * parts : 0)
            .flops(ofWeights ? 2 * flops : flops)
            // The candidate, the weights and numbers; then the tiles, some on their way at once.
            .rounds(2 + Math.ceilDiv(Math.ceilDiv(jobs, parts), ahead)),
        FILE,
        FILE + "_" + inner,
        new int[] {tiles * parts, 1, 1},
        CudaContext.THREADS,
        numbers
            .after(arguments)
            .i32(numbers.relu() ? 1 : 0)
            .pointer(means)
            .pointer(ofWeights ? partial() : null));
  }

  private MemorySegment table() {
    int[] table = new int[factors.size() * INTS_OF_CANDIDATE];
    int blocks = 0;
    for (int i = 0; i < factors.size(); i++) {
      Factor f = factors.get(i);
      int[] row = {
        BankProduct.place(f.a(), a),
        Math.toIntExact(f.a().columns()),
        BankProduct.place(f.w(), factors.getFirst().w()),
        Math.toIntExact(f.w().leading()),
        BankProduct.place(f.d(), d),
        Math.toIntExact(f.d().columns()),
        blocks,
        parts,
        sums(i)
      };
      System.arraycopy(row, 0, table, i * INTS_OF_CANDIDATE, INTS_OF_CANDIDATE);
      blocks += parts * tiles(f);
    }
    return context.upload(table);
  }
}
