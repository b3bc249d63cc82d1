package io.fbnet.engine.cuda;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.backend.Launch.Family;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Value;
import io.fbnet.foreign.CudaArguments;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Function;

/** The kernels of {@code bank.cu}: the weighted sum of a bank and its gradients. */
final class BankMix {
  private static final String FILE = "bank";
  private static final int POINTERS = 16;

  /** Blocks that fit a multiprocessor at once. */
  private static final int FORWARD_BLOCKS = 2;

  private static final int SHARE_BLOCKS = 6;

  private final CudaContext context;
  private final LayerBank bank;
  private final Function<Value, MemorySegment> memory;
  private final int outputs;
  private final int rows;
  private final int candidates;

  /** Pixels of a row of weights: of all images or of one. */
  private final long pixels;

  private final MemorySegment index;
  private final MemorySegment adds;

  BankMix(CudaContext context, LayerBank bank, Function<Value, MemorySegment> memory) {
    this.context = context;
    this.bank = bank;
    this.memory = memory;
    outputs = bank.outputs();
    rows = bank.mix().m().shape().get(0);
    candidates = bank.mix().m().shape().get(1);
    pixels = bank.mix().y().shape().elements() / outputs / rows;
    List<Integer> all = new ArrayList<>();
    bank.candidates().forEach(c -> all.add(c.k()));
    all.addAll(bank.adding());
    all.addAll(bank.others());
    index = table(all);
    adds = table(bank.adding().stream().map(k -> bank.identities().contains(k) ? 0 : 1).toList());
  }

  private MemorySegment table(List<Integer> numbers) {
    // No memory is empty.
    int[] table = new int[Math.max(1, numbers.size())];
    Arrays.setAll(table, i -> i < numbers.size() ? numbers.get(i) : 0);
    return context.upload(table);
  }

  private MemorySegment m() {
    return memory.apply(bank.mix().m());
  }

  private MemorySegment addingIndex() {
    return index.asSlice((long) Integer.BYTES * bank.candidates().size());
  }

  private int banks() {
    return bank.candidates().size();
  }

  /**
   * The weighted sum.
   *
   * @param p results of the last convolutions
   * @param numbers of their norms, [4][channels of p]
   */
  Kernel forward(Value p, MemorySegment numbers) {
    Op.WeightedSum mix = bank.mix();
    List<MemorySegment> others =
        bank.others().stream().map(k -> memory.apply(mix.xs().get(k))).toList();
    int adding = bank.adding().size();
    int blocks = blocks(pixels * outputs / 4, FORWARD_BLOCKS);
    int passes = 1 + others.size() + (adding > 0 ? 1 : 0);
    return context.kernel(
        context
            .work(Family.MIX)
            .reads(p)
            .reads(passes - 1, mix.y())
            .reads(numbers.byteSize())
            .writes(mix.y())
            .again((long) CudaContext.BLOCK * blocks * rows * 4 * 4 * banks())
            .over(pixels * outputs / 4, (long) blocks * CudaContext.BLOCK)
            .rounds(2),
        FILE,
        context.typed("bank_forward"),
        new int[] {blocks, rows, 1},
        CudaContext.THREADS,
        new CudaArguments()
            .pointer(memory.apply(p))
            .pointer(numbers)
            .pointer(adding > 0 ? memory.apply(bank.x()) : null)
            .pointers(POINTERS, others)
            .pointer(m())
            .pointer(index)
            .i32(banks())
            .i32(adding)
            .i32(others.size())
            .i32(candidates)
            .pointer(memory.apply(mix.y()))
            .i64(pixels)
            .i32(outputs));
  }

  /** Blocks for the elements of one row. */
  private int blocks(long items, int perMultiprocessor) {
    int all = context.blocks(items * rows, perMultiprocessor);
    return Math.max(1, Math.min(context.blocks(items), (all + rows - 1) / rows));
  }

  /**
   * Sums of the gradient over the pixels, and what follows from them.
   *
   * @param means takes what the gradient in p needs of them, null where nobody wants it
   * @param gradients of the norms' gamma, counted from the first; null likewise
   * @param places of gamma and beta
   */
  Kernel sums(
      Value p,
      MemorySegment numbers,
      MemorySegment means,
      MemorySegment gradients,
      MemorySegment places) {
    int all = bank.allOutputs();
    int parts = context.parts(pixels, CudaNorm.LEAST_PIXELS, (long) rows * CudaContext.tiles(all));
    MemorySegment partial = context.scratch("partial", 8L * all * parts * rows);
    Kernel sums =
        context.kernel(
            context
                .work(Family.NORM_GRADIENT_SUMS)
                .reads(p, bank.dy())
                .reads(numbers.byteSize())
                .writes(16L * all)
                // Each bank reads dy, all but the first from a cache.
                .again((long) (banks() - 1) * bank.dy().shape().elements())
                .rounds(CudaContext.roundsOfSums(pixels, parts, all, 16 / context.imageBytes(), 4))
                .parts(parts * rows, 8L * all),
            FILE,
            context.typed("bank_sums"),
            new int[] {parts, CudaContext.tiles(all), rows},
            CudaContext.TILE_THREADS,
            new CudaArguments()
                .pointer(memory.apply(p))
                .pointer(memory.apply(bank.dy()))
                .pointer(numbers)
                .pointer(partial)
                .pointer(context.tickets(all))
                .i64(pixels)
                .i32(banks())
                .i32(outputs)
                .pointer(m())
                .pointer(index)
                .i32(candidates)
                .pointer(means)
                .pointer(gradients)
                .pointer(places));
    return bank.coefficients() == null
        ? sums
        : CudaContext.sequence(dots(), sums, coefficients(numbers, partial, parts), others());
  }

  /** The dot products of dy and x. */
  private MemorySegment dotsMemory() {
    return bank.adding().isEmpty() ? null : context.scratch("dots", (long) Float.BYTES * rows);
  }

  private Kernel dots() {
    return bank.adding().isEmpty()
        ? null
        : CudaMix.coefficients(
            context, memory.apply(bank.x()), bank.dy(), memory, dotsMemory(), rows, 1, 0);
  }

  private Kernel coefficients(MemorySegment numbers, MemorySegment partial, int parts) {
    MemorySegment dm = memory.apply(bank.coefficients().dm());
    boolean identities = !bank.identities().isEmpty();
    return context.kernel(
        context
            .work(Family.COEFFICIENTS_END)
            .reads(8L * bank.allOutputs() * (parts * (long) rows + 1))
            .writes((long) Float.BYTES * rows * (banks() + 1))
            .over((long) parts * outputs, 4L * CudaContext.BLOCK),
        FILE,
        "bank_coefficients",
        new int[] {banks() + (identities ? 1 : 0), rows, 1},
        CudaContext.THREADS,
        new CudaArguments()
            .pointer(partial)
            .pointer(numbers)
            .pointer(dotsMemory())
            .pointer(index)
            .i32(banks())
            .i32(bank.adding().size())
            .pointer(adds)
            .i32(candidates)
            .pointer(dm)
            .i32(parts)
            .i32(outputs));
  }

  /** The coefficients of what lies in memory as it is. */
  private Kernel others() {
    List<Kernel> kernels = new ArrayList<>();
    for (int k : bank.others()) {
      Value result = bank.coefficients().xs().get(k);
      kernels.add(
          CudaMix.coefficients(
              context,
              memory.apply(result),
              bank.dy(),
              memory,
              memory.apply(bank.coefficients().dm()),
              rows,
              candidates,
              k));
    }
    return CudaContext.sequence(kernels.toArray(Kernel[]::new));
  }

  /** The gradient in p. */
  Kernel apply(Value p, MemorySegment numbers, MemorySegment means, Value dp) {
    long elements = pixels * rows * bank.allOutputs();
    int blocks = context.blocks(elements / 4, CudaNorm.GRADIENT_BLOCKS);
    int vector = 16 / context.imageBytes();
    return context.kernel(
        context
            .work(Family.NORM_GRADIENT_APPLY)
            .reads(p, bank.dy())
            .reads(numbers.byteSize() + means.byteSize())
            .writes(dp)
            .again((long) (banks() - 1) * bank.dy().shape().elements())
            .again((long) CudaContext.BLOCK * blocks * vector * 5)
            .over(elements / 4, (long) blocks * CudaContext.BLOCK)
            .rounds(2),
        FILE,
        context.typed("bank_apply"),
        new int[] {blocks, 1, 1},
        CudaContext.THREADS,
        new CudaArguments()
            .pointer(memory.apply(p))
            .pointer(memory.apply(bank.dy()))
            .pointer(numbers)
            .pointer(means)
            .pointer(m())
            .pointer(index)
            .i32(candidates)
            .pointer(memory.apply(dp))
            .i64(pixels)
            .i32(rows)
            .i32(banks())
            .i32(outputs));
  }

  /** dx = base + dy times the weights of all that add x. */
  Kernel share(Value base, Value dx) {
    long n = pixels * outputs;
    int blocks = blocks(n / 4, SHARE_BLOCKS);
    return context.kernel(
        context
            .work(Family.MIX)
            .reads(base, bank.dy())
            .writes(dx)
            .over(n / 4, (long) blocks * CudaContext.BLOCK)
            .rounds(2),
        FILE,
        context.typed("bank_share"),
        new int[] {blocks, rows, 1},
        CudaContext.THREADS,
        new CudaArguments()
            .pointer(memory.apply(base))
            .pointer(memory.apply(bank.dy()))
            .pointer(m())
            .pointer(addingIndex())
            .i32(bank.adding().size())
            .i32(candidates)
            .pointer(memory.apply(dx))
            .i64(n));
  }
}
