package io.fbnet.engine.cpu;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.fbnet.engine.backend.Workspace;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Value;
import io.fbnet.foreign.Dnnl;
import io.fbnet.foreign.DnnlPrimitive;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Function;

/** What the kernels of one compiled graph share. */
final class CpuContext extends Workspace {
  /**
   * Bytes that one thread gets through in less time than another may take to wake up. Helpers are
   * awake all the time where a step has an image for each, so there everything is shared.
   */
  private static final long WORTH_WAKING = 1 << 20;

  final CpuBackend backend;
  final Dnnl dnnl;

  /** Over parameters and their gradients. */
  final Loops loops;

  /** Over images in blocks. */
  final Loops imageLoops;

  final ThreadTeam team;
  private final Set<Value> plainImages;
  private final boolean fixedParameters;
  private final long worthSharing;
  private final IdentityHashMap<Op.BatchNormBackward, CpuNorm.Coefficients> coefficients =
      new IdentityHashMap<>();
  private final Map<ConvolutionPrimitives.Key, ConvolutionPrimitives> convolutions =
      new HashMap<>();
  private final Set<String> slowKernels = new TreeSet<>();

  CpuContext(CpuBackend backend, Set<Value> plainImages, boolean fixedParameters, int batch) {
    super(backend);
    this.fixedParameters = fixedParameters;
    this.backend = backend;
    dnnl = backend.dnnl();
    loops = backend.loops();
    imageLoops = backend.imageLoops();
    team = backend.team();
    this.plainImages = plainImages;
    worthSharing = batch >= team.threads() ? 0 : WORTH_WAKING;
  }

  /** Whether a value of rank 4 lies in row-major order: images for the stem, and weights. */
  boolean plain(Value value) {
    return plainImages.contains(value);
  }

  /** Whether a value is images in blocks of channels. */
  boolean blocked(Value value) {
    return value.shape().rank() == 4 && !plain(value);
  }

  /** The loops over a value. */
  Loops loops(Value value) {
    return blocked(value) ? imageLoops : loops;
  }

  /** Whether parameters never change, so that one copy in a primitive's format serves all runs. */
  boolean fixedParameters() {
    return fixedParameters;
  }

  /** Bytes of one image of a value. */
  long imageBytes(Value value) {
    return plain(value)
        ? value.shape().elements() / value.shape().get(0) * value.type().bytes()
        : layout(value).bytes() / value.shape().get(0);
  }

  /** What the two halves of a batch norm's gradient share. */
  CpuNorm.Coefficients coefficients(Op.BatchNormBackward bn, int channels) {
    return coefficients.computeIfAbsent(
        bn, op -> new CpuNorm.Coefficients(new float[channels], new float[channels]));
  }

  /** Primitives that may be there already, for an equal convolution. */
  ConvolutionPrimitives primitives(
      ConvolutionPrimitives.Key key,
      Function<ConvolutionPrimitives.Key, ConvolutionPrimitives> make) {
    return convolutions.computeIfAbsent(key, make);
  }

  ImageLayout layout(Value value) {
    return ImageLayout.of(value.shape(), imageLoops);
  }

  /** Gives a primitive the scratch memory of a lane. */
  DnnlPrimitive withScratch(DnnlPrimitive primitive, int lane) {
    long bytes = primitive.scratchBytes();
    return bytes == 0
        ? primitive
        : primitive.bind(DnnlPrimitive.Argument.SCRATCHPAD, scratch("primitive " + lane, bytes));
  }

  /** Notes a oneDNN implementation that is known to be slow, so that it can be said aloud. */
  void noteImplementation(String what, String implementation, boolean gemmIsSlow) {
    if (implementation.startsWith("ref")
        || implementation.contains(":ref")
        || (gemmIsSlow && implementation.contains("gemm"))) {
      slowKernels.add(what + " runs as " + implementation);
    }
  }

  Set<String> slowKernels() {
    return slowKernels;
  }

  @Override
  public void close() {
    convolutions.values().forEach(ConvolutionPrimitives::close);
    super.close();
  }

  /** Reads a vector of per-channel numbers into an array padded to whole blocks. */
  static void channels(MemorySegment from, float[] to, int channels) {
    MemorySegment.copy(from, JAVA_FLOAT, 0, to, 0, channels);
  }

  interface Body {
    void rows(int from, int to, int thread);
  }

  /**
   * Divides rows among the team, unless there is too little to do: who does what depends on sizes
   * alone, so sums are always added in the same order.
   */
  void parallel(int rows, long rowBytes, Body body) {
    int threads = team.threads();
    if (rows < threads || rows * rowBytes < worthSharing) {
      body.rows(0, rows, 0);
      return;
    }
    team.run(
        t ->
            body.rows(ThreadTeam.from(rows, t, threads), ThreadTeam.from(rows, t + 1, threads), t));
  }
}
