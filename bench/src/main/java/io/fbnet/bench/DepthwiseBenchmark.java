package io.fbnet.bench;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.cpu.CpuBackend;
import io.fbnet.engine.graph.Autodiff;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.ParameterSpec.Initial;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import io.fbnet.engine.reference.ReferenceBackend;
import java.util.List;
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
 * Depthwise convolutions and their two gradients, one kernel a run, in multiply-adds of the taps:
 * two operations each, those on the border's zeros included. {@code oneDNN} is its primitive alone,
 * where {@code cpu} packs weights and divides the batch.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.SECONDS)
@Fork(
    value = 1,
    jvmArgsAppend = {
      "--add-modules=jdk.incubator.vector",
      "--enable-native-access=ALL-UNNAMED",
      "-Xmx4g"
    })
@Warmup(iterations = 5, time = 1)
@Measurement(iterations = 5, time = 1)
public class DepthwiseBenchmark {
  @Param({"cpu", "oneDNN", "reference"})
  public String device;

  @Param("2")
  public int threads;

  @Param({"3", "5"})
  public int kernel;

  @Param({"1", "2"})
  public int stride;

  @Param({"forward", "data gradient", "weight gradient"})
  public String pass;

  @Param("16")
  public int batch;

  @Param("96")
  public int channels;

  @Param("28")
  public int size;

  private Backend backend;
  private KernelFixture fixture;
  private OneDnnDepthwise peer;

  /** Arithmetic done; JMH divides it by the time. */
  @State(Scope.Thread)
  @AuxCounters(AuxCounters.Type.OPERATIONS)
  public static class Arithmetic {
    public double gigaflops;

    @Setup(Level.Iteration)
    public void reset() {
      gigaflops = 0;
    }
  }

  @Setup(Level.Trial)
  public void open() {
    if (device.equals("oneDNN")) {
      peer = new OneDnnDepthwise(pass, batch, channels, size, kernel, stride, threads);
      return;
    }
    backend = device.equals("cpu") ? CpuBackend.open(threads) : new ReferenceBackend();
    fixture = new KernelFixture(backend, graph());
  }

  /** A graph of the one operation: its forward pass is left out of a gradient's. */
  private Graph graph() {
    GraphBuilder b = new GraphBuilder();
    Value x = b.input("x", Type.F32, batch, channels, size, size);
    Value w = b.parameter("w", "w", true, new Initial.Normal(1), channels, 1, kernel, kernel);
    Value y = b.convolution(x, w, stride, channels);
    if (pass.equals("forward")) {
      b.output("y", y);
      return b.build();
    }
    Value wanted = pass.equals("data gradient") ? x : w;
    int out = y.shape().get(2);
    Value dy = b.input("dy", Type.F32, batch, channels, out, out);
    Autodiff.pullback(b, y, dy, List.of(wanted)).values().forEach(d -> b.output("gradient", d));
    Graph whole = b.build();
    List<Op> gradient = whole.ops().stream().filter(op -> !(op instanceof Op.Convolution)).toList();
    return new Graph(gradient, whole.storage(), whole.parameters(), whole.outputs());
  }

  @Benchmark
  public void run(Arithmetic arithmetic) {
    if (peer != null) {
      peer.run();
    } else {
      fixture.program.run();
      backend.synchronise();
    }
    int out = (size + stride - 1) / stride;
    arithmetic.gigaflops += 2e-9 * batch * channels * out * out * kernel * kernel;
  }

  @TearDown(Level.Trial)
  public void close() {
    if (peer != null) {
      peer.close();
      return;
    }
    fixture.close();
    backend.close();
  }
}
