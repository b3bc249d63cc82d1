package io.fbnet.engine.cpu;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.backend.Communicator;
import io.fbnet.engine.backend.Confinement;
import io.fbnet.engine.backend.GraphCompiler;
import io.fbnet.engine.backend.HostMemory;
import io.fbnet.engine.backend.OutOfDeviceMemory;
import io.fbnet.engine.backend.Precision;
import io.fbnet.engine.graph.Graph;
import io.fbnet.foreign.Availability;
import io.fbnet.foreign.Dnnl;
import io.fbnet.foreign.Pages;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.function.Function;

/**
 * f32, or bf16 images, on the CPU. One thread, the one that opened it, uses it; it starts helpers
 * of its own. With the same threads, instruction set and library two runs give the same bits.
 */
public final class CpuBackend implements Backend {
  private static final long ALIGNMENT = 256;
  private static final int AVX = 0x2;
  private static final int AVX2 = 0x4;
  private static final int AVX512 = 0x20;
  private static final int AVX512_BF16 = 0x80;

  /** Bytes from which memory is worth pages of its own. */
  private static final long WORTH_PAGES = 4 << 20;

  /** Bytes of images that a thread works on at a time: about a core's second-level cache. */
  private static final long CHUNK_BYTES = 1 << 20;

  private final int threads;
  private final Communicator ranks;
  private final Dnnl dnnl;
  private final Precision precision;
  private final Loops loops;
  private final Loops imageLoops;
  private final long chunkBytes;
  private final ThreadTeam team;
  private final Map<Long, Arena> arenas = new HashMap<>();

  /** Bytes that were free when it was opened, -1 where nobody knows, and those given since. */
  private final long room = Pages.available();

  private long given;
  private final Confinement confinement = new Confinement("cpu");

  private CpuBackend(
      int threads, Precision precision, boolean vectors, long chunkBytes, Communicator ranks) {
    if (threads < 1) {
      throw new IllegalArgumentException("one thread or more, not " + threads);
    }
    if (precision == Precision.TF32) {
      throw new IllegalArgumentException("a CPU has f32 and bf16, not tf32");
    }
    this.threads = threads;
    this.ranks = ranks;
    this.precision = precision;
    this.chunkBytes = chunkBytes;
    dnnl = Dnnl.open(threads);
    Dnnl.useThreads(1);
    int lanes = has(AVX512) ? 16 : 8;
    loops = loops(vectors, lanes, false);
    imageLoops = keepsBf16() ? loops(vectors, lanes, true) : loops;
    team = new ThreadTeam(threads, () -> Dnnl.useThreads(1));
  }

  /** {@return whether oneDNN was found, with its version or the remedy} */
  public static Availability availability() {
    return Dnnl.availability();
  }

  /**
   * {@return the back end in f32, opened; on vectors where the JVM has them}
   *
   * @param threads how many compute, the calling one included, from 1 up
   * @throws IllegalStateException where {@link #availability} says that oneDNN is missing
   */
  public static CpuBackend open(int threads) {
    return open(threads, Precision.F32);
  }

  /**
   * {@return the back end, opened; on vectors where the JVM has them}
   *
   * @param threads how many compute, the calling one included, from 1 up
   * @param precision f32, or bf16, which every processor can keep and {@link #multipliesBf16 some}
   *     can multiply
   * @throws IllegalStateException where {@link #availability} says that oneDNN is missing
   * @throws IllegalArgumentException for tf32, which is a GPU's
   */
  public static CpuBackend open(int threads, Precision precision) {
    return open(threads, precision, Communicator.alone());
  }

  /**
   * {@return the back end of one of several ranks, opened; on vectors where the JVM has them}
   *
   * @param threads how many compute, the calling one included, from 1 up
   * @param precision as in {@link #open(int, Precision)}
   * @param ranks whose means its operations take; to be closed by the caller, after this
   * @throws IllegalStateException where {@link #availability} says that oneDNN is missing
   * @throws IllegalArgumentException for tf32, which is a GPU's
   */
  public static CpuBackend open(int threads, Precision precision, Communicator ranks) {
    return new CpuBackend(threads, precision, true, CHUNK_BYTES, ranks);
  }

  /**
   * {@return the back end, opened with loops that need no vector module: slower, for comparison}
   *
   * @param threads how many compute, the calling one included, from 1 up
   * @param precision f32 or bf16
   * @throws IllegalStateException where {@link #availability} says that oneDNN is missing
   * @throws IllegalArgumentException for tf32
   */
  public static CpuBackend openScalar(int threads, Precision precision) {
    return new CpuBackend(threads, precision, false, CHUNK_BYTES, Communicator.alone());
  }

  /** The back end with chunks of another size, for tests. */
  static CpuBackend openChunked(int threads, Precision precision, long chunkBytes) {
    return new CpuBackend(threads, precision, true, chunkBytes, Communicator.alone());
  }

  /** {@return whether this JVM was started with the vector module} */
  public static boolean vectorModule() {
    return ModuleLayer.boot().findModule("jdk.incubator.vector").isPresent();
  }

  private static Loops loops(boolean vectors, int lanes, boolean bf16) {
    return vectors && vectorModule() ? Vectors.choose(lanes, bf16) : new ScalarLoops(lanes, bf16);
  }

  /** Apart, so that nothing of the vector module is linked where it is absent. */
  private static final class Vectors {
    static Loops choose(int lanes, boolean bf16) {
      if (!VectorLoops.fits()) {
        return new ScalarLoops(lanes, bf16);
      }
      return bf16 ? Narrow.LOOPS : new VectorLoops();
    }
  }

  /** Defined once a process, so that they are compiled once. */
  private static final class Narrow {
    static final Loops LOOPS = VectorLoops.bf16();
  }

  /** The name of a set that oneDNN compiles for ({@code dnnl_cpu_isa_t}, a bit for each step). */
  static String instructionSet(int bits) {
    if ((bits & AVX512) != 0) {
      return (bits & AVX512_BF16) != 0 ? "avx512 bf16" : "avx512";
    }
    return (bits & AVX2) != 0 ? "avx2" : (bits & AVX) != 0 ? "avx" : "sse4.1";
  }

  private boolean has(int instructions) {
    return (dnnl.instructionSet() & instructions) != 0;
  }

  /**
   * {@return whether convolutions run on bf16 where images are kept so} This processor needs
   * AVX-512 with BF16 for it; elsewhere their images are widened while they are in cache and
   * multiplied as f32.
   */
  public boolean multipliesBf16() {
    return keepsBf16() && has(AVX512_BF16);
  }

  /** Whether images are kept as bf16. */
  boolean keepsBf16() {
    return precision == Precision.BF16;
  }

  Dnnl dnnl() {
    return dnnl;
  }

  Loops loops() {
    return loops;
  }

  Loops imageLoops() {
    return imageLoops;
  }

  /** Has Java compile the vector loops, on a thread that ends by itself. */
  @Override
  public void warmUp() {
    if (!(loops instanceof ScalarLoops)) {
      Thread.ofPlatform().daemon().name("fbnet-warm-up").start(new LoopWarmUp(imageLoops, loops));
    }
  }

  /** Bytes of images that a thread works on at a time. */
  long chunkBytes() {
    return chunkBytes;
  }

  ThreadTeam team() {
    return team;
  }

  @Override
  public String name() {
    return "cpu";
  }

  @Override
  public String device() {
    return processor() + ", " + threads + (threads == 1 ? " thread" : " threads");
  }

  /** {@return the processor's name as the system tells it, else its architecture} */
  public static String processor() {
    try {
      for (String line : Files.readAllLines(Path.of("/proc/cpuinfo"))) {
        if (line.startsWith("model name")) {
          return line.substring(line.indexOf(':') + 1).trim();
        }
      }
    } catch (IOException e) {
      // Not Linux, or not readable: the architecture must do.
    }
    return System.getProperty("os.arch");
  }

  @Override
  public Map<String, String> fingerprint() {
    Map<String, String> print = new LinkedHashMap<>();
    print.put("backend", "cpu");
    print.put("processor", processor());
    print.put("threads", Integer.toString(threads));
    print.put("precision", precision.name().toLowerCase(Locale.ROOT));
    print.put("oneDNN", Dnnl.availability().version());
    print.put("instruction set", instructionSet(dnnl.instructionSet()));
    print.put("loops", loops.description());
    return print;
  }

  @Override
  public int elementBytes() {
    return Float.BYTES;
  }

  @Override
  public Communicator communicator() {
    return ranks;
  }

  @Override
  public Confinement confinement() {
    return confinement;
  }

  @Override
  public MemorySegment allocate(long bytes) {
    return allocate(
        bytes,
        arena ->
            bytes < WORTH_PAGES
                ? arena.allocate(Math.max(ALIGNMENT, bytes), ALIGNMENT)
                : Pages.map(arena, bytes));
  }

  @Override
  public MemorySegment allocateExchanged(long bytes) {
    return ranks.size() == 1 || bytes < WORTH_PAGES
        ? allocate(bytes)
        : allocate(bytes, arena -> ranks.allocate(arena, bytes));
  }

  private MemorySegment allocate(long bytes, Function<Arena, MemorySegment> how) {
    confinement.require();
    if (bytes < 0) {
      throw new IllegalArgumentException("no memory of " + bytes + " bytes");
    }
    // What is not touched yet the system still calls free, so what was given is counted here.
    if (room >= 0 && given + bytes > room) {
      throw new OutOfDeviceMemory(bytes, room - given, device(), null);
    }
    Arena arena = Arena.ofShared();
    try {
      MemorySegment segment = how.apply(arena);
      arenas.put(segment.address(), arena);
      given += bytes;
      return segment.asSlice(0, bytes);
    } catch (OutOfMemoryError e) {
      arena.close();
      throw new OutOfDeviceMemory(bytes, room < 0 ? -1 : room - given, device(), e);
    }
  }

  @Override
  public void release(MemorySegment memory) {
    confinement.requireThread();
    Arena arena = arenas.remove(memory.address());
    if (arena != null) {
      given -= memory.byteSize();
      arena.close();
    }
  }

  /** {@return how many allocations have not been released} */
  public int liveAllocations() {
    return arenas.size();
  }

  @Override
  public void copyIn(MemorySegment host, MemorySegment device, long count) {
    confinement.require();
    HostMemory.requireReadable(host, HostMemory.bytes(count, Float.BYTES));
    HostMemory.requireWritable(device, HostMemory.bytes(count, Float.BYTES));
    MemorySegment.copy(host, 0, device, 0, count * Float.BYTES);
  }

  @Override
  public void copyOut(MemorySegment device, MemorySegment host, long count) {
    confinement.require();
    HostMemory.requireReadable(device, HostMemory.bytes(count, Float.BYTES));
    HostMemory.requireWritable(host, HostMemory.bytes(count, Float.BYTES));
    MemorySegment.copy(device, 0, host, 0, count * Float.BYTES);
  }

  @Override
  public GraphCompiler compiler(Graph graph, boolean fixedParameters) {
    confinement.require();
    return new CpuCompiler(this, graph, fixedParameters);
  }

  @Override
  public void synchronise() {
    confinement.require();
    // Every launch returns when its work is done.
  }

  @Override
  public void close() {
    if (confinement.close()) {
      team.close();
      dnnl.close();
      arenas.values().forEach(Arena::close);
      arenas.clear();
    }
  }
}
