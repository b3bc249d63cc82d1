package io.fbnet.engine.cuda;

import static java.lang.foreign.ValueLayout.JAVA_INT;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.backend.Launch;
import io.fbnet.engine.backend.Precision;
import io.fbnet.engine.backend.Workspace;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import io.fbnet.foreign.CudaArguments;
import io.fbnet.foreign.CudaFunction;
import io.fbnet.foreign.CudaLaunch;
import io.fbnet.foreign.CudaStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;

/** What the kernels of one compiled graph share. */
final class CudaContext extends Workspace {
  /** Threads of a block of our kernels that go over elements one by one. */
  static final int BLOCK = 256;

  private static final int BLOCKS_PER_MULTIPROCESSOR = 8;
  private static final int SUMMING_BLOCKS_PER_MULTIPROCESSOR = 4;

  /** Parts of a sum that the kernel which adds them still gets through quickly. */
  private static final int MOST_PARTS = 128;

  static final int[] THREADS = {BLOCK, 1, 1};

  /** Channels, or elements of a result, that one block adds up. */
  private static final int TILE = 32;

  static final int[] TILE_THREADS = {TILE, BLOCK / TILE, 1};

  final CudaBackend backend;
  final CudaStream stream;
  final boolean bf16;
  final boolean tf32;
  final boolean deterministic;
  private final int multiprocessors;
  private final Set<Value> weights;
  private final PackedWeights packed = new PackedWeights(this);
  private final Deque<AutoCloseable> kept = new ArrayDeque<>();
  private final List<Launch> launches = new ArrayList<>();

  CudaContext(CudaBackend backend, List<Op> ops, Map<Value, Storage> storage) {
    super(backend);
    this.backend = backend;
    stream = backend.stream();
    Precision precision = backend.options().precision();
    bf16 = precision == Precision.BF16;
    tf32 = precision != Precision.F32;
    deterministic = backend.options().deterministic();
    multiprocessors = backend.multiprocessors();
    weights = weights(ops, storage);
  }

  /** Values of rank 4 that are no images: bytes, convolution weights and their gradients. */
  private static Set<Value> weights(List<Op> ops, Map<Value, Storage> storage) {
    Set<Value> weights = new HashSet<>();
    storage.forEach(
        (value, where) -> {
          if (!(where instanceof Storage.Input) || value.type() == Type.U8) {
            weights.add(value);
          }
        });
    for (Op op : ops) {
      switch (op) {
        case Op.Convolution c -> weights.add(c.w());
        case Op.ConvolutionBackwardData c -> weights.add(c.w());
        case Op.ConvolutionBackwardWeights c -> weights.add(c.dw());
        case Op.Sum s when weights.containsAll(s.xs()) -> weights.add(s.y());
        default -> {}
      }
    }
    return weights;
  }

  /** Whether a value lies channels-last, in the images' type; all others are row-major f32. */
  boolean image(Value value) {
    return value.shape().rank() == 4 && !weights.contains(value);
  }

  /** Bytes of an element on the device. */
  int elementBytes(Value value) {
    return image(value) ? imageBytes() : value.type().bytes();
  }

  /** Bytes of an element of images. */
  int imageBytes() {
    return bf16 ? Short.BYTES : Float.BYTES;
  }

  /** Bytes of a value on the device. */
  long bytes(Value value) {
    return value.shape().elements() * elementBytes(value);
  }

  /** What the kernel that is made with it moves and computes. */
  Work work(Launch.Family family) {
    return new Work(this, family);
  }

  /** A kernel's name for the type of a value. */
  String typed(String name, Value value) {
    return name + (image(value) && bf16 ? "_bf16" : "_f32");
  }

  /** A kernel's name for the type of images. */
  String typed(String name) {
    return name + (bf16 ? "_bf16" : "_f32");
  }

  /**
   * Counters by which the last block of each tile of channels is told; they are 0 between kernels.
   */
  MemorySegment tickets(int channels) {
    return scratch("tickets", (long) Integer.BYTES * tiles(channels));
  }

  /** Blocks for a loop over {@code items}, no more than the device can hold at once. */
  int blocks(long items) {
    return blocks(items, BLOCKS_PER_MULTIPROCESSOR);
  }

  /** The same where so many fit a multiprocessor. */
  int blocks(long items, int perMultiprocessor) {
    long needed = Math.max(1, (items + BLOCK - 1) / BLOCK);
    return (int) Math.min(needed, (long) perMultiprocessor * multiprocessors);
  }

  /**
   * Parts into which a sum over {@code items} is cut so that the device is busy.
   *
   * @param least items of a part worth a block
   * @param beside blocks that run for each part
   */
  int parts(long items, int least, long beside) {
    long room = Math.max(1, (long) SUMMING_BLOCKS_PER_MULTIPROCESSOR * multiprocessors / beside);
    long worth = Math.min(MOST_PARTS, (items + least - 1) / least);
    return (int) Math.max(1, Math.min(room, worth));
  }

  /** Tiles that cover so many channels. */
  static int tiles(long channels) {
    return Math.toIntExact((channels + TILE - 1) / TILE);
  }

  /** Rows of threads that share a tile's pixels, where a thread holds so many channels at once. */
  static int rowsOfTile(int channels, int vector) {
    return BLOCK / Math.max(1, Math.min(TILE, channels) / vector);
  }

  /**
   * Loads that wait for each other where a block sums a part of the pixels of a tile: those of a
   * thread, {@code unrolled} at once, and then the rows of threads, 8 at once.
   */
  static long roundsOfSums(long pixels, int parts, int channels, int vector, int unrolled) {
    int rows = rowsOfTile(channels, channels % vector == 0 ? vector : 1);
    long atOnce = (long) parts * rows * unrolled;
    return (pixels + atOnce - 1) / atOnce + (rows + 7) / 8;
  }

  /** A kernel that sums each part of the pixels for each tile of channels. */
  Kernel partialSums(
      Work work, String file, String name, int parts, int channels, CudaArguments arguments) {
    return kernel(work, file, name, new int[] {parts, tiles(channels), 1}, TILE_THREADS, arguments);
  }

  /** Loads that wait for each other while parts are added: 8 threads a result, 4 loads at once. */
  static int roundsOfEnd(int parts) {
    return (parts + 31) / 32;
  }

  /** A kernel that adds the parts, a block for each tile of results. */
  Kernel addedParts(Work work, String file, String name, long results, CudaArguments arguments) {
    return elements(work, file, name, (long) BLOCK * tiles(results), arguments);
  }

  /** Blocks that run at once where so many fit a multiprocessor. */
  int blocksAtOnce(int perMultiprocessor) {
    return perMultiprocessor * multiprocessors;
  }

  /** A kernel over elements. */
  Kernel elements(Work work, String file, String name, long items, CudaArguments arguments) {
    int blocks = blocks(items);
    int[] grid = {blocks, 1, 1};
    return kernel(work.over(items, (long) blocks * BLOCK), file, name, grid, THREADS, arguments);
  }

  /** A kernel of the given shape. */
  Kernel kernel(
      Work work, String file, String name, int[] grid, int[] block, CudaArguments arguments) {
    CudaFunction function = backend.kernels().function(file, name);
    CudaLaunch launch = keep(function.prepare(grid, block, 0, arguments));
    return counted(work.kernel(name, grid, block), () -> launch.on(stream));
  }

  /** A kernel that is one call of the driver or of a library. */
  Kernel counted(Launch launch, Kernel kernel) {
    launches.add(launch);
    return kernel;
  }

  /** The kernels made so far, each one call. */
  List<Launch> launches() {
    return List.copyOf(launches);
  }

  /** Copies of weights, which one launch at the start of a step makes. */
  PackedWeights packed() {
    return packed;
  }

  int multiprocessors() {
    return multiprocessors;
  }

  /** Keeps what a kernel needs until the graph is closed, also where a later kernel fails. */
  <T extends AutoCloseable> T keep(T needed) {
    kept.push(needed);
    return needed;
  }

  /** {@return memory of the graph's own with what the host has, whole words} */
  MemorySegment upload(MemorySegment host) {
    MemorySegment device = own(host.byteSize());
    backend.copyIn(host, device, host.byteSize() / Integer.BYTES);
    return device;
  }

  /** {@return a table for kernels} */
  MemorySegment upload(int[] table) {
    try (Arena arena = Arena.ofConfined()) {
      return upload(arena.allocateFrom(JAVA_INT, table));
    }
  }

  /** The kernel that changes the order of images between rows and channels-last. */
  Kernel reorder(String name, Value images, MemorySegment from, MemorySegment to) {
    int n = images.shape().get(0);
    int c = images.shape().get(1);
    int pixels = images.shape().get(2) * images.shape().get(3);
    // Tiles of 32 by 32; with few channels or pixels the kernel goes over elements.
    long tiles = (long) n * ((c + 31) / 32) * ((pixels + 31) / 32);
    long items = Math.max(BLOCK * tiles, Math.min(c, pixels) <= 8 ? (long) n * c * pixels : 0);
    return elements(
        work(Launch.Family.MIX).reads(from.byteSize()).writes(to.byteSize()),
        "layout",
        typed(name, images),
        items,
        new CudaArguments().pointer(from).pointer(to).i32(n).i32(c).i32(pixels));
  }

  /** Kernels in order; a null among them is left out. */
  static Kernel sequence(Kernel... kernels) {
    return new Sequence(
        Arrays.stream(kernels)
            .filter(Objects::nonNull)
            .flatMap(kernel -> parts(kernel).stream())
            .toList());
  }

  /** {@return the kernels in order of which a kernel consists, itself where it is one} */
  static List<Kernel> parts(Kernel kernel) {
    return kernel instanceof Sequence sequence ? sequence.kernels() : List.of(kernel);
  }

  private record Sequence(List<Kernel> kernels) implements Kernel {
    @Override
    public void launch() {
      kernels.forEach(Kernel::launch);
    }

    @Override
    public boolean needsHost() {
      return kernels.stream().anyMatch(Kernel::needsHost);
    }

    @Override
    public void close() {
      kernels.forEach(Kernel::close);
    }
  }

  @Override
  public void close() {
    for (AutoCloseable each : kept) {
      backend.closing(each);
    }
    kept.clear();
    super.close();
  }
}
