package io.fbnet.engine.cuda;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.backend.Launch.Family;
import io.fbnet.engine.cuda.CudaProduct.Operand;
import io.fbnet.foreign.CublasLtMatmul;
import io.fbnet.foreign.CudaArguments;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;

/**
 * The gradient of a bank's first norm, folded into the two products behind it by the kernels of
 * {@code bank_fold.cu}: that gradient is linear in what the depthwise convolutions' gradient left
 * and in x, so no pass makes it. Both lie side by side for that, "wide" images of {@link #wide}
 * channels.
 */
final class BankFold {
  private static final String FILE = "bank_fold";

  // As bank_fold.cu has them.
  private static final int TILE = 32;
  private static final int CHUNK = 128;
  private static final int ONES = 3;
  private static final int PART = TILE * TILE + TILE;
  private static final int ROW_BYTES = 16;

  /** Elements in 16 bytes. */
  private static final int VECTOR = 8;

  private static final int BLOCKS_PER_MULTIPROCESSOR = 4;

  /**
   * Squares of x's channels for each pixel up to which this pays: it takes two multiply-adds for
   * each of a channel's weights and channel of x, and spares three elements of each pixel, 6 bytes.
   * At 10 TFLOP/s and 3.5 TB/s that would be 4.3.
   */
  private static final int MOST_SQUARES = 4;

  private final CudaContext context;
  private final Operand x;
  private final Operand w;
  private final int width;
  private final int channels;
  private final int wide;
  private final long pixels;

  /**
   * For one bank.
   *
   * @param x bf16, pixels by channels
   * @param w the first convolutions' weights, bf16, the bank's width by channels
   */
  BankFold(CudaContext context, Operand x, Operand w) {
    this.context = context;
    this.x = x;
    this.w = w;
    width = Math.toIntExact(w.rows());
    channels = Math.toIntExact(x.columns());
    wide = wide(width, channels);
    pixels = x.rows();
  }

  /**
   * Whether it serves: in bf16 alone, for in f32 what the two products cancel would be seen, and
   * where the arithmetic takes no longer than the pass.
   */
  static boolean serves(CudaContext context, LayerBank bank) {
    long channels = bank.x().shape().get(1);
    long pixels = bank.x().shape().elements() / channels;
    return context.bf16 && channels * channels <= MOST_SQUARES * pixels;
  }

  /** Channels of the gradient, of x, and ones, up to a whole vector. */
  static int wide(int width, int channels) {
    return Math.ceilDiv(width + channels + ONES, VECTOR) * VECTOR;
  }

  /** What wide images are multiplied by to give the gradient in x: all of them by x's channels. */
  Operand factors() {
    MemorySegment memory = context.scratch("folded factors", (long) Short.BYTES * wide * channels);
    return new Operand(memory, CublasLtMatmul.Type.BF16, wide, channels, channels, 0);
  }

  /**
   * Makes the factors, and puts x and ones beside the gradient.
   *
   * @param images the wide ones
   * @param numbers of the norm
   * @param means of its gradient
   */
  Kernel prepare(MemorySegment images, MemorySegment numbers, MemorySegment means) {
    int chunks = Math.ceilDiv(width, CHUNK);
    int tiles = Math.ceilDiv(channels, TILE);
    long vectors = pixels * Math.ceilDiv(wide - width, VECTOR);
    int products = tiles * tiles * chunks;
    int copies = context.blocks(vectors, BLOCKS_PER_MULTIPROCESSOR);
    long parts = (long) products * PART * Float.BYTES;
    long weights = (long) width * channels;
    return context.kernel(
        context
            .work(Family.NORM_GRADIENT_APPLY)
            .readsImages(pixels * channels + weights)
            .writesImages(pixels * (wide - width) + (long) wide * channels)
            .again((2L * tiles - 1) * weights)
            .reads(parts + 6L * Float.BYTES * width)
            .writes(parts)
            // Either a product's: numbers and weights, four times; its ticket, and the parts. Or a
            // copy's.
            .rounds(
                Math.max(
                    2 * 4 + 2 + Math.ceilDiv(chunks, 4),
                    Math.ceilDiv(vectors, (long) copies * CudaContext.BLOCK))),
        FILE,
        "bank_fold",
        new int[] {products + copies, 1, 1},
        CudaContext.THREADS,
        new CudaArguments()
            .pointer(x.memory())
            .pointer(w.memory())
            .pointer(numbers)
            .pointer(means)
            .pointer(images)
            .pointer(factors().memory())
            .pointer(context.scratch("partial", parts))
            .pointer(context.tickets(TILE * tiles * tiles))
            .i64(pixels)
            .i32(width)
            .i32(channels)
            .i32(wide)
            .i32(chunks));
  }

  /**
   * Makes the gradients of the weights from the product of the wide images and x.
   *
   * @param product f32, a row for each of the wide images' channels
   * @param numbers of the norm
   * @param means of its gradient
   * @param rows where they go, for each row of w
   */
  Kernel weights(
      MemorySegment product,
      MemorySegment numbers,
      MemorySegment means,
      List<BankWeights.Row> rows) {
    int down = Math.ceilDiv(width, TILE);
    int right = Math.ceilDiv(channels, TILE);
    long weights = (long) width * channels;
    long read = weights + (long) (channels + 1) * channels;
    return context.kernel(
        context
            .work(Family.WEIGHTS_END)
            .reads(Float.BYTES * read + (6L * Float.BYTES + ROW_BYTES) * width)
            .readsImages(weights)
            .writes(Float.BYTES * weights)
            .again((long) (right - 1) * weights + (long) (down - 1) * channels * channels)
            .rounds(2 + 2L * Math.ceilDiv(channels, CHUNK)),
        FILE,
        "bank_fold_weights",
        new int[] {down, right, 1},
        CudaContext.THREADS,
        new CudaArguments()
            .pointer(product)
            .pointer(w.memory())
            .pointer(numbers)
            .pointer(means)
            .pointer(upload(rows))
            .i64(pixels)
            .i32(width)
            .i32(channels));
  }

  private MemorySegment upload(List<BankWeights.Row> rows) {
    long bytes = (long) ROW_BYTES * rows.size();
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment host = arena.allocate(bytes, Long.BYTES);
      for (int i = 0; i < rows.size(); i++) {
        long at = (long) i * ROW_BYTES;
        host.set(JAVA_LONG, at, rows.get(i).to().address());
        host.set(JAVA_INT, at + 8, rows.get(i).column());
        host.set(JAVA_INT, at + 12, rows.get(i).columns());
      }
      return context.upload(host);
    }
  }
}
