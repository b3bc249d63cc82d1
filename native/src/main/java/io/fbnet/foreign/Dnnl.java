package io.fbnet.foreign;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.util.Arrays;

/**
 * A oneDNN CPU engine with one in-order stream a lane. Primitives are made by the thread that
 * opened it. They may run side by side, each on a lane of its own: their scratch memory is the
 * caller's. How many OpenMP threads a call uses is the calling thread's {@link #useThreads}.
 */
@SuppressWarnings("restricted")
public final class Dnnl implements AutoCloseable {
  /** Element types, numbered as in {@code dnnl_data_type_t}. */
  public enum Type {
    BF16(2),
    F32(3);

    final int code;

    Type(int code) {
      this.code = code;
    }
  }

  /** Memory formats, numbered as in {@code dnnl_format_tag_t}. */
  public enum Tag {
    ANY(1),
    AB(3),
    BA(14),
    ABCD(5),
    ABCDE(6),
    /** Channels in blocks of 8: nChw8c. */
    CHANNELS_8(102),
    /** Channels in blocks of 16: nChw16c. */
    CHANNELS_16(78);

    final int code;

    Tag(int code) {
      this.code = code;
    }
  }

  /**
   * Stride and padding of a convolution over two axes.
   *
   * @param stride of both axes
   * @param low padding before the first row and column
   * @param highRows padding after the last row
   * @param highColumns padding after the last column
   */
  public record Window(int stride, int low, int highRows, int highColumns) {}

  static final int CPU = 1;
  static final int IN_ORDER = 1;
  static final int SCRATCHPAD_USER = 1;
  static final int FORWARD_TRAINING = 64;
  static final int CONVOLUTION_DIRECT = 1;

  final MemorySegment engine;
  private final MemorySegment[] streams;
  private final MemorySegment attributes;
  private boolean closed;

  private Dnnl(MemorySegment engine, MemorySegment[] streams, MemorySegment attributes) {
    this.engine = engine;
    this.streams = streams;
    this.attributes = attributes;
  }

  /** Whether the library can be used here, with its version or the remedy. */
  public static Availability availability() {
    return DnnlLibrary.load();
  }

  /**
   * Creates an engine.
   *
   * @param lanes how many primitives may run side by side
   * @throws IllegalStateException where {@link #availability()} says that the library is missing
   */
  public static Dnnl open(int lanes) {
    Availability availability = availability();
    if (!availability.found()) {
      throw new IllegalStateException("oneDNN is not available: " + availability.remedy());
    }
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(ADDRESS);
      check((int) DnnlRaw.CACHE_CAPACITY.invokeExact(8192), "dnnl_set_primitive_cache_capacity");
      check((int) DnnlRaw.ENGINE_CREATE.invokeExact(out, CPU, 0L), "dnnl_engine_create");
      MemorySegment engine = out.get(ADDRESS, 0);
      MemorySegment[] streams = new MemorySegment[lanes];
      for (int i = 0; i < lanes; i++) {
        check((int) DnnlRaw.STREAM_CREATE.invokeExact(out, engine, IN_ORDER), "dnnl_stream_create");
        streams[i] = out.get(ADDRESS, 0);
      }
      check((int) DnnlRaw.ATTR_CREATE.invokeExact(out), "dnnl_primitive_attr_create");
      MemorySegment attributes = out.get(ADDRESS, 0);
      check(
          (int) DnnlRaw.ATTR_DETERMINISTIC.invokeExact(attributes, 1),
          "dnnl_primitive_attr_set_deterministic");
      check(
          (int) DnnlRaw.ATTR_SCRATCHPAD.invokeExact(attributes, SCRATCHPAD_USER),
          "dnnl_primitive_attr_set_scratchpad_mode");
      return new Dnnl(engine, streams, attributes);
    } catch (Throwable t) {
      throw rethrow(t);
    }
  }

  /**
   * How many OpenMP threads the calling thread's calls use from now on, those that make a primitive
   * and those that run it: both must agree.
   */
  public static void useThreads(int threads) {
    try {
      DnnlRaw.OMP_SET_NUM_THREADS.invokeExact(threads);
    } catch (Throwable t) {
      throw rethrow(t);
    }
  }

  MemorySegment stream(int lane) {
    return streams[lane];
  }

  static String versionOf() {
    try {
      MemorySegment v = ((MemorySegment) DnnlRaw.VERSION.invokeExact()).reinterpret(12);
      return v.get(JAVA_INT, 0) + "." + v.get(JAVA_INT, 4) + "." + v.get(JAVA_INT, 8);
    } catch (Throwable t) {
      throw rethrow(t);
    }
  }

  /** The instruction set that the library compiles for, as {@code dnnl_cpu_isa_t}. */
  public int instructionSet() {
    try {
      return (int) DnnlRaw.EFFECTIVE_ISA.invokeExact();
    } catch (Throwable t) {
      throw rethrow(t);
    }
  }

  /** Describes memory of the given logical dimensions. The caller closes it. */
  public DnnlDescriptor descriptor(Type type, Tag tag, long... dimensions) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(ADDRESS);
      MemorySegment dims = arena.allocateFrom(JAVA_LONG, dimensions);
      int status =
          (int) DnnlRaw.MD_WITH_TAG.invokeExact(out, dimensions.length, dims, type.code, tag.code);
      check(
          status,
          "dnnl_memory_desc_create_with_tag",
          type + " " + tag + " " + Arrays.toString(dimensions));
      return new DnnlDescriptor(out.get(ADDRESS, 0));
    } catch (Throwable t) {
      throw rethrow(t);
    }
  }

  /** y = conv(x, w): arguments SRC, WEIGHTS, DST. */
  public DnnlPrimitive convolutionForward(
      DnnlDescriptor x, DnnlDescriptor w, DnnlDescriptor y, Window window) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment pd = forwardDescriptor(arena, x, w, y, window);
      return new DnnlPrimitive(this, pd);
    } catch (Throwable t) {
      throw rethrow(t);
    }
  }

  /** dx from dy and w: arguments DIFF_DST, WEIGHTS, DIFF_SRC. */
  public DnnlPrimitive convolutionBackwardData(
      DnnlDescriptor dx, DnnlDescriptor w, DnnlDescriptor dy, Window window) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment hint = forwardDescriptor(arena, dx, w, dy, window);
      MemorySegment out = arena.allocate(ADDRESS);
      int status =
          (int)
              DnnlRaw.CONVOLUTION_BACKWARD_DATA.invokeExact(
                  out,
                  engine,
                  CONVOLUTION_DIRECT,
                  dx.handle(),
                  w.handle(),
                  dy.handle(),
                  pair(arena, window.stride(), window.stride()),
                  pair(arena, 0, 0),
                  pair(arena, window.low(), window.low()),
                  pair(arena, window.highRows(), window.highColumns()),
                  hint,
                  attributes);
      destroyDescriptor(hint);
      check(status, "dnnl_convolution_backward_data_primitive_desc_create", window.toString());
      return new DnnlPrimitive(this, out.get(ADDRESS, 0));
    } catch (Throwable t) {
      throw rethrow(t);
    }
  }

  /**
   * dw from x and dy: arguments SRC, DIFF_DST, DIFF_WEIGHTS.
   *
   * @param w the weights, which are of the images' type even where their gradient is not
   */
  public DnnlPrimitive convolutionBackwardWeights(
      DnnlDescriptor x, DnnlDescriptor w, DnnlDescriptor dw, DnnlDescriptor dy, Window window) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment hint = forwardDescriptor(arena, x, w, dy, window);
      MemorySegment out = arena.allocate(ADDRESS);
      int status =
          (int)
              DnnlRaw.CONVOLUTION_BACKWARD_WEIGHTS.invokeExact(
                  out,
                  engine,
                  CONVOLUTION_DIRECT,
                  x.handle(),
                  dw.handle(),
                  MemorySegment.NULL,
                  dy.handle(),
                  pair(arena, window.stride(), window.stride()),
                  pair(arena, 0, 0),
                  pair(arena, window.low(), window.low()),
                  pair(arena, window.highRows(), window.highColumns()),
                  hint,
                  attributes);
      destroyDescriptor(hint);
      check(status, "dnnl_convolution_backward_weights_primitive_desc_create", window.toString());
      return new DnnlPrimitive(this, out.get(ADDRESS, 0));
    } catch (Throwable t) {
      throw rethrow(t);
    }
  }

  /** c = a b: arguments SRC, WEIGHTS, DST, each of rank 2. */
  public DnnlPrimitive matmul(DnnlDescriptor a, DnnlDescriptor b, DnnlDescriptor c) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(ADDRESS);
      int status =
          (int)
              DnnlRaw.MATMUL.invokeExact(
                  out, engine, a.handle(), b.handle(), MemorySegment.NULL, c.handle(), attributes);
      check(status, "dnnl_matmul_primitive_desc_create");
      return new DnnlPrimitive(this, out.get(ADDRESS, 0));
    } catch (Throwable t) {
      throw rethrow(t);
    }
  }

  /** Copies from one format to another: arguments SRC (from), DST (to). */
  public DnnlPrimitive reorder(DnnlDescriptor from, DnnlDescriptor to) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(ADDRESS);
      int status =
          (int)
              DnnlRaw.REORDER.invokeExact(
                  out, from.handle(), engine, to.handle(), engine, attributes);
      check(status, "dnnl_reorder_primitive_desc_create");
      return new DnnlPrimitive(this, out.get(ADDRESS, 0));
    } catch (Throwable t) {
      throw rethrow(t);
    }
  }

  private MemorySegment forwardDescriptor(
      Arena arena, DnnlDescriptor x, DnnlDescriptor w, DnnlDescriptor y, Window window)
      throws Throwable {
    MemorySegment out = arena.allocate(ADDRESS);
    int status =
        (int)
            DnnlRaw.CONVOLUTION_FORWARD.invokeExact(
                out,
                engine,
                FORWARD_TRAINING,
                CONVOLUTION_DIRECT,
                x.handle(),
                w.handle(),
                MemorySegment.NULL,
                y.handle(),
                pair(arena, window.stride(), window.stride()),
                pair(arena, 0, 0),
                pair(arena, window.low(), window.low()),
                pair(arena, window.highRows(), window.highColumns()),
                attributes);
    check(status, "dnnl_convolution_forward_primitive_desc_create", window.toString());
    return out.get(ADDRESS, 0);
  }

  private static MemorySegment pair(Arena arena, int rows, int columns) {
    return arena.allocateFrom(JAVA_LONG, rows, columns);
  }

  private static void destroyDescriptor(MemorySegment pd) throws Throwable {
    check((int) DnnlRaw.PD_DESTROY.invokeExact(pd), "dnnl_primitive_desc_destroy");
  }

  static void check(int status, String function) {
    check(status, function, "");
  }

  static void check(int status, String function, String arguments) {
    if (status != 0) {
      throw new ForeignException(function, status, statusName(status), arguments);
    }
  }

  static String statusName(int status) {
    return switch (status) {
      case 1 -> "dnnl_out_of_memory";
      case 2 -> "dnnl_invalid_arguments";
      case 3 -> "dnnl_unimplemented";
      case 4 -> "dnnl_last_impl_reached";
      case 5 -> "dnnl_runtime_error";
      case 6 -> "dnnl_not_required";
      case 7 -> "dnnl_invalid_graph";
      case 8 -> "dnnl_invalid_graph_op";
      case 9 -> "dnnl_invalid_shape";
      case 10 -> "dnnl_invalid_data_type";
      default -> "unknown status";
    };
  }

  /** Method handles throw Throwable; what we call throws unchecked exceptions or errors only. */
  static RuntimeException rethrow(Throwable t) {
    if (t instanceof RuntimeException e) {
      throw e;
    }
    if (t instanceof Error e) {
      throw e;
    }
    throw new IllegalStateException(t);
  }

  static void destroy(MethodHandle function, MemorySegment object, String name) {
    try {
      check((int) function.invokeExact(object), name);
    } catch (Throwable t) {
      throw rethrow(t);
    }
  }

  @Override
  public void close() {
    if (!closed) {
      closed = true;
      destroy(DnnlRaw.ATTR_DESTROY, attributes, "dnnl_primitive_attr_destroy");
      for (MemorySegment stream : streams) {
        destroy(DnnlRaw.STREAM_DESTROY, stream, "dnnl_stream_destroy");
      }
      destroy(DnnlRaw.ENGINE_DESTROY, engine, "dnnl_engine_destroy");
    }
  }
}
