package io.fbnet.bench;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.cpu.CpuBackend;
import io.fbnet.engine.reference.ReferenceBackend;
import io.fbnet.nas.space.SearchSpace;
import java.util.concurrent.TimeUnit;
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

/** One whole training step of the {@code fashion} supernet, on the CPU and on the reference. */
@State(Scope.Thread)
@BenchmarkMode(Mode.SingleShotTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Fork(
    value = 1,
    jvmArgsAppend = {
      "--add-modules=jdk.incubator.vector",
      "--enable-native-access=ALL-UNNAMED",
      // As fbnet starts Java on one or two processors.
      "-XX:+UseSerialGC",
      "-Xms16m",
      "-Xmx8g"
    })
@Warmup(iterations = 20)
@Measurement(iterations = 20)
public class SupernetStepBenchmark {
  @Param({"cpu", "reference"})
  public String device;

  @Param("fashion")
  public String space;

  @Param("16")
  public int batch;

  @Param({"w", "theta"})
  public String step;

  @Param("normal")
  public String memory;

  @Param("2")
  public int threads;

  private Backend backend;
  private SupernetFixture fixture;

  @Setup(Level.Trial)
  public void open() {
    backend = device.equals("cpu") ? CpuBackend.open(threads) : new ReferenceBackend();
    fixture =
        new SupernetFixture(
            backend, SearchSpace.load(space), batch, step.equals("theta"), memory.equals("lean"));
  }

  @Benchmark
  public void step() {
    fixture.program.run();
    backend.synchronise();
  }

  @TearDown(Level.Trial)
  public void close() {
    fixture.close();
    backend.close();
  }
}
