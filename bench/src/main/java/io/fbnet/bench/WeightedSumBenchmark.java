package io.fbnet.bench;

import static java.lang.foreign.ValueLayout.JAVA_INT;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.cpu.CpuBackend;
import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.ParameterSpec.Initial;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import io.fbnet.engine.reference.ReferenceBackend;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.AuxCounters;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * What is bound by memory, in algorithmic bytes: the weighted sum of nine blocks, nine arrays read
 * and one written, the update of weights by SGD, three read and two written, and Gumbel-softmax,
 * one written. Every array is at least four times the last-level cache, so what is measured is
 * memory, or for Gumbel-softmax the noise; {@code copy} is the machine's own rate for the same
 * number of threads, one array read and one written.
 */
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.SECONDS)
@Fork(
    value = 1,
    jvmArgsAppend = {
      "--add-modules=jdk.incubator.vector",
      "--enable-native-access=ALL-UNNAMED",
      "-Xmx8g"
    })
@Warmup(iterations = 5, time = 2)
@Measurement(iterations = 5, time = 2)
public class WeightedSumBenchmark {
  private static final int CANDIDATES = 9;
  private static final int[] IMAGE = {32, 64, 64};
  private static final long IMAGE_BYTES = 4L * 32 * 64 * 64;

  /** Moved bytes; JMH divides them by the time. */
  @State(Scope.Thread)
  @AuxCounters(AuxCounters.Type.OPERATIONS)
  public static class Traffic {
    public double gigabytes;

    @Setup(Level.Iteration)
    public void reset() {
      gigabytes = 0;
    }
  }

  /** An operation on arrays that no cache holds. */
  @State(Scope.Thread)
  public abstract static class Operation {
    @Param("2")
    public int threads;

    /** Mebibytes of one array; 0 stands for four times the last-level cache. */
    @Param("0")
    public int megabytes;

    Backend backend;
    KernelFixture fixture;
    long arrayBytes;

    void run() {
      fixture.program.run();
      backend.synchronise();
    }

    @TearDown(Level.Trial)
    public void close() {
      fixture.close();
      backend.close();
    }
  }

  /** The nine blocks on one device. */
  @State(Scope.Thread)
  public static class Blocks extends Operation {
    /** The reference holds doubles one by one: it gets arrays of eight images. */
    @Param({"cpu", "reference"})
    public String device;

    @Setup(Level.Trial)
    public void open() {
      boolean cpu = device.equals("cpu");
      backend = cpu ? CpuBackend.open(threads) : new ReferenceBackend();
      long wanted = arrayBytes(megabytes);
      int batch = cpu ? Math.toIntExact((wanted + IMAGE_BYTES - 1) / IMAGE_BYTES) : 8;
      arrayBytes = batch * IMAGE_BYTES;
      GraphBuilder b = new GraphBuilder();
      List<Value> xs = new ArrayList<>();
      for (int k = 0; k < CANDIDATES; k++) {
        xs.add(b.input("x" + k, Type.F32, batch, IMAGE[0], IMAGE[1], IMAGE[2]));
      }
      b.output("y", b.weightedSum(xs, b.input("m", Type.F32, 1, CANDIDATES)));
      fixture = new KernelFixture(backend, b.build());
    }
  }

  /** The weights of one device, with their gradients and velocities. */
  @State(Scope.Thread)
  public static class Weights extends Operation {
    @Setup(Level.Trial)
    public void open() {
      backend = CpuBackend.open(threads);
      arrayBytes = arrayBytes(megabytes) / 4096 * 4096;
      GraphBuilder b = new GraphBuilder();
      b.parameter(
          "weights", "w", true, new Initial.Normal(1), Math.toIntExact(arrayBytes / Float.BYTES));
      b.sgd("weights", b.control("rate", Type.F32), b.fill(1, 1), 0.9f, 1e-4f);
      fixture = new KernelFixture(backend, b.build());
      fixture.program.set("rate", 0.01);
    }
  }

  /** Theta of the paper's space, and a draw for each of so many images that they fill an array. */
  @State(Scope.Thread)
  public static class Draws extends Operation {
    private static final int LAYERS = 22;

    @Setup(Level.Trial)
    public void open() {
      backend = CpuBackend.open(threads);
      int images = Math.toIntExact(arrayBytes(megabytes) / (4L * LAYERS * CANDIDATES));
      arrayBytes = 4L * LAYERS * CANDIDATES * images;
      GraphBuilder b = new GraphBuilder();
      Value theta = b.parameter("theta", "theta", true, new Initial.Normal(1), LAYERS, CANDIDATES);
      Value tau = b.control("tau", Type.F32);
      Value seed = b.control("seed", Type.I64);
      Value step = b.control("step", Type.I64);
      b.output("m", b.gumbelSoftmax(theta, tau, seed, step, images, 1));
      fixture = new KernelFixture(backend, b.build());
      fixture.program.set("tau", 5.0);
      fixture.program.set("seed", 1L);
    }
  }

  /** Two plain arrays of the same size, and threads to copy with. */
  @State(Scope.Thread)
  public static class Arrays {
    @Param("2")
    public int threads;

    @Param("0")
    public int megabytes;

    private Arena arena;
    private MemorySegment from;
    private MemorySegment to;
    private ExecutorService pool;
    private List<Callable<Void>> shares;

    @Setup(Level.Trial)
    public void open() {
      arena = Arena.ofShared();
      long bytes = arrayBytes(megabytes) / 4096 * 4096;
      from = arena.allocate(bytes, 4096);
      to = arena.allocate(bytes, 4096);
      for (long i = 0; i < bytes / 4; i++) {
        from.setAtIndex(JAVA_INT, i, (int) i * 0x9E3779B9);
      }
      pool = Executors.newFixedThreadPool(threads);
      shares = new ArrayList<>();
      for (int t = 0; t < threads; t++) {
        long first = bytes * t / threads;
        long length = bytes * (t + 1) / threads - first;
        shares.add(
            () -> {
              MemorySegment.copy(from, first, to, first, length);
              return null;
            });
      }
    }

    @TearDown(Level.Trial)
    public void close() {
      pool.close();
      arena.close();
    }
  }

  private static long arrayBytes(int megabytes) {
    return megabytes > 0 ? (long) megabytes << 20 : 4 * LastLevelCache.bytes();
  }

  @Benchmark
  public void weightedSum(Blocks blocks, Traffic traffic) {
    blocks.run();
    traffic.gigabytes += (CANDIDATES + 1) * blocks.arrayBytes * 1e-9;
  }

  @Benchmark
  public void gumbelSoftmax(Draws draws, Traffic traffic) {
    draws.run();
    traffic.gigabytes += draws.arrayBytes * 1e-9;
  }

  @Benchmark
  public void sgd(Weights weights, Traffic traffic) {
    weights.run();
    traffic.gigabytes += 5 * weights.arrayBytes * 1e-9;
  }

  @Benchmark
  public void copy(Arrays arrays, Traffic traffic) throws InterruptedException {
    arrays.pool.invokeAll(arrays.shares);
    traffic.gigabytes += 2 * arrays.from.byteSize() * 1e-9;
  }
}
