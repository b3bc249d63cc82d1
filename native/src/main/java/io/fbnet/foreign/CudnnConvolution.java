package io.fbnet.foreign;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.util.ArrayList;
import java.util.List;

/**
 * One convolution, or one of its gradients, in f32: images [N,H,W,C], filters [O,k,k,C/groups]. The
 * algorithm is the first of cuDNN's own ranking that fits, so the same shape always gets the same
 * one.
 */
@SuppressWarnings("restricted")
public final class CudnnConvolution implements AutoCloseable {
  /** What is computed from the other two. */
  public enum Direction {
    FORWARD("ConvolutionForward"),
    BACKWARD_DATA("ConvolutionBackwardData"),
    BACKWARD_FILTER("ConvolutionBackwardFilter");

    private final String function;

    Direction(String function) {
      this.function = function;
    }

    private MethodHandle find() {
      return switch (this) {
        case FORWARD -> CudnnRaw.FIND_FORWARD;
        case BACKWARD_DATA -> CudnnRaw.FIND_DATA;
        case BACKWARD_FILTER -> CudnnRaw.FIND_FILTER;
      };
    }

    private MethodHandle space() {
      return switch (this) {
        case FORWARD -> CudnnRaw.SPACE_FORWARD;
        case BACKWARD_DATA -> CudnnRaw.SPACE_DATA;
        case BACKWARD_FILTER -> CudnnRaw.SPACE_FILTER;
      };
    }

    private MethodHandle run() {
      return switch (this) {
        case FORWARD -> CudnnRaw.FORWARD;
        case BACKWARD_DATA -> CudnnRaw.DATA;
        case BACKWARD_FILTER -> CudnnRaw.FILTER;
      };
    }
  }

  /**
   * A convolution's sizes.
   *
   * @param batch images
   * @param channels of x
   * @param height of x
   * @param width of x
   * @param outputs channels of y
   * @param outHeight of y
   * @param outWidth of y
   * @param kernel rows and columns of the filter, padded by half
   * @param stride of both axes
   * @param groups of channels
   */
  public record Sizes(
      int batch,
      int channels,
      int height,
      int width,
      int outputs,
      int outHeight,
      int outWidth,
      int kernel,
      int stride,
      int groups) {}

  private record Descriptor(String kind, MemorySegment handle, MethodHandle destroy) {}

  static final int DATA_FLOAT = 0;
  static final int TENSOR_NHWC = 1;
  static final int CROSS_CORRELATION = 1;
  static final int DEFAULT_MATH = 0;
  static final int FMA_MATH = 3;
  static final int DETERMINISTIC = 1;

  /** Bytes of cudnnConvolution*AlgoPerf_t, and the places of its fields. */
  static final long PERF_BYTES = 48;

  static final long PERF_ALGO = 0;
  static final long PERF_STATUS = 4;
  static final long PERF_MEMORY = 16;
  static final long PERF_DETERMINISM = 24;
  static final long PERF_MATH = 28;

  private static final int MOST_ALGORITHMS = 16;

  private final Arena arena = Arena.ofConfined();
  private final List<Descriptor> descriptors = new ArrayList<>();
  private final Cudnn cudnn;
  private final Direction direction;
  private final MemorySegment x;
  private final MemorySegment y;
  private final MemorySegment filter;
  private final MemorySegment convolution;
  private final MemorySegment one;
  private final MemorySegment zero;
  private int algorithm;
  private long workspaceBytes;
  private boolean closed;

  /**
   * Chooses an algorithm.
   *
   * @param tf32 whether inputs may be rounded to TF32 on tensor cores
   * @param deterministic whether only algorithms that give equal bits in every run may be taken
   * @param mostWorkspace bytes of workspace that an algorithm may ask for
   * @throws ForeignException where cuDNN has no algorithm for this
   */
  public CudnnConvolution(
      Cudnn cudnn,
      Direction direction,
      Sizes s,
      boolean tf32,
      boolean deterministic,
      long mostWorkspace) {
    this.cudnn = cudnn;
    this.direction = direction;
    one = arena.allocateFrom(JAVA_FLOAT, 1f);
    zero = arena.allocateFrom(JAVA_FLOAT, 0f);
    try {
      x = tensor(s.batch, s.channels, s.height, s.width);
      y = tensor(s.batch, s.outputs, s.outHeight, s.outWidth);
      filter = create("FilterDescriptor", CudnnRaw.FILTER_CREATE, CudnnRaw.FILTER_DESTROY);
      MemorySegment dims = ints(s.outputs, s.channels / s.groups, s.kernel, s.kernel);
      Cudnn.check(
          (int) CudnnRaw.FILTER_SET.invokeExact(filter, DATA_FLOAT, TENSOR_NHWC, 4, dims),
          "cudnnSetFilterNdDescriptor");
      convolution =
          create(
              "ConvolutionDescriptor", CudnnRaw.CONVOLUTION_CREATE, CudnnRaw.CONVOLUTION_DESTROY);
      MemorySegment pad = ints(s.kernel / 2, s.kernel / 2);
      MemorySegment stride = ints(s.stride, s.stride);
      MemorySegment dilation = ints(1, 1);
      Cudnn.check(
          (int)
              CudnnRaw.CONVOLUTION_SET.invokeExact(
                  convolution, 2, pad, stride, dilation, CROSS_CORRELATION, DATA_FLOAT),
          "cudnnSetConvolutionNdDescriptor");
      Cudnn.check(
          (int) CudnnRaw.CONVOLUTION_GROUPS.invokeExact(convolution, s.groups),
          "cudnnSetConvolutionGroupCount");
      Cudnn.check(
          (int) CudnnRaw.CONVOLUTION_MATH.invokeExact(convolution, tf32 ? DEFAULT_MATH : FMA_MATH),
          "cudnnSetConvolutionMathType");
      choose(s, tf32 ? DEFAULT_MATH : FMA_MATH, deterministic, mostWorkspace);
    } catch (Throwable t) {
      try {
        close();
      } catch (ForeignException e) {
        t.addSuppressed(e);
      }
      throw Dnnl.rethrow(t);
    }
  }

  private MemorySegment ints(int... values) {
    return arena.allocateFrom(JAVA_INT, values);
  }

  private MemorySegment create(String kind, MethodHandle create, MethodHandle destroy)
      throws Throwable {
    MemorySegment out = arena.allocate(ADDRESS);
    Cudnn.check((int) create.invokeExact(out), "cudnnCreate" + kind);
    MemorySegment handle = out.get(ADDRESS, 0);
    descriptors.add(new Descriptor(kind, handle, destroy));
    return handle;
  }

  private MemorySegment tensor(int n, int c, int h, int w) throws Throwable {
    MemorySegment tensor =
        create("TensorDescriptor", CudnnRaw.TENSOR_CREATE, CudnnRaw.TENSOR_DESTROY);
    MemorySegment dims = ints(n, c, h, w);
    MemorySegment strides = ints(h * w * c, 1, w * c, c);
    Cudnn.check(
        (int) CudnnRaw.TENSOR_SET.invokeExact(tensor, DATA_FLOAT, 4, dims, strides),
        "cudnnSetTensorNdDescriptor");
    return tensor;
  }

  /** The descriptors in the order in which a function of this direction takes them. */
  private MemorySegment first() {
    return direction == Direction.BACKWARD_DATA ? filter : x;
  }

  private MemorySegment second() {
    return direction == Direction.FORWARD ? filter : y;
  }

  private MemorySegment result() {
    return switch (direction) {
      case FORWARD -> y;
      case BACKWARD_DATA -> x;
      case BACKWARD_FILTER -> filter;
    };
  }

  private void choose(Sizes sizes, int math, boolean deterministic, long mostWorkspace)
      throws Throwable {
    MemorySegment returned = arena.allocate(JAVA_INT);
    MemorySegment results = arena.allocate(MOST_ALGORITHMS * PERF_BYTES, 8);
    MemorySegment first = first();
    MemorySegment second = second();
    MemorySegment result = result();
    int status =
        (int)
            direction
                .find()
                .invokeExact(
                    cudnn.handle,
                    first,
                    second,
                    convolution,
                    result,
                    MOST_ALGORITHMS,
                    returned,
                    results);
    Cudnn.check(status, "cudnnGet" + direction.function + "Algorithm_v7");
    // An algorithm may be ranked for another type of arithmetic than the one asked for; such a one
    // is taken only where no other fits.
    for (boolean asAsked : new boolean[] {true, false}) {
      for (int i = 0; i < returned.get(JAVA_INT, 0); i++) {
        MemorySegment perf = results.asSlice(i * PERF_BYTES, PERF_BYTES);
        boolean fits =
            perf.get(JAVA_INT, PERF_STATUS) == 0
                && perf.get(JAVA_LONG, PERF_MEMORY) <= mostWorkspace
                && (perf.get(JAVA_INT, PERF_MATH) == math || !asAsked)
                && (!deterministic || perf.get(JAVA_INT, PERF_DETERMINISM) == DETERMINISTIC);
        if (fits && workspaceFits(perf.get(JAVA_INT, PERF_ALGO), mostWorkspace)) {
          return;
        }
      }
    }
    throw new ForeignException(
        "cudnnGet" + direction.function + "Algorithm_v7",
        3000,
        "no algorithm" + (deterministic ? " that is deterministic" : ""),
        sizes.toString());
  }

  /** Takes an algorithm if its workspace, asked for by the function that knows, is allowed. */
  private boolean workspaceFits(int candidate, long mostWorkspace) throws Throwable {
    MemorySegment bytes = arena.allocate(JAVA_LONG);
    MemorySegment first = first();
    MemorySegment second = second();
    MemorySegment result = result();
    int status =
        (int)
            direction
                .space()
                .invokeExact(cudnn.handle, first, second, convolution, result, candidate, bytes);
    algorithm = candidate;
    workspaceBytes = bytes.get(JAVA_LONG, 0);
    return status == 0 && workspaceBytes <= mostWorkspace;
  }

  /** The number of the algorithm taken. */
  public int algorithm() {
    return algorithm;
  }

  /** Bytes of workspace that {@link #run} needs. */
  public long workspaceBytes() {
    return workspaceBytes;
  }

  /**
   * Enqueues it.
   *
   * @param a x, or for {@code BACKWARD_DATA} the filter
   * @param b the filter, or for the gradients dy
   * @param to the result, overwritten
   */
  public void run(MemorySegment a, MemorySegment b, MemorySegment to, MemorySegment workspace) {
    try {
      MemorySegment first = first();
      MemorySegment second = second();
      MemorySegment result = result();
      long space = workspaceBytes == 0 ? 0 : workspace.address();
      int status =
          (int)
              direction
                  .run()
                  .invokeExact(
                      cudnn.handle,
                      one,
                      first,
                      a.address(),
                      second,
                      b.address(),
                      convolution,
                      algorithm,
                      space,
                      workspaceBytes,
                      zero,
                      result,
                      to.address());
      Cudnn.check(status, "cudnn" + direction.function);
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  @Override
  public void close() {
    if (closed) {
      return;
    }
    closed = true;
    try {
      for (Descriptor each : descriptors.reversed()) {
        MemorySegment handle = each.handle();
        Cudnn.check((int) each.destroy().invokeExact(handle), "cudnnDestroy" + each.kind());
      }
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    } finally {
      arena.close();
    }
  }
}
