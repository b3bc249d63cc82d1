package io.fbnet.bench.peers;

import io.fbnet.bench.StepSetting;
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

/** One whole training step of a supernet on libtorch: the peer of {@code SupernetStepBenchmark}. */
@State(Scope.Thread)
@BenchmarkMode(Mode.SingleShotTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Fork(
    value = 1,
    jvmArgsAppend = {"--enable-native-access=ALL-UNNAMED", "-XX:+UseSerialGC", "-Xms16m", "-Xmx2g"})
@Warmup(iterations = 3)
@Measurement(iterations = 5)
public class TorchStepBenchmark {
  @Param("fashion")
  public String space;

  @Param("64")
  public int batch;

  @Param({"w", "theta"})
  public String step;

  @Param({"channels_last", "contiguous"})
  public String layout;

  @Param("2")
  public int threads;

  private TorchSupernet net;

  @Setup(Level.Trial)
  public void open() {
    net =
        new TorchSupernet(
            new StepSetting(SearchSpace.load(space), batch),
            layout.equals("channels_last"),
            step.equals("theta"),
            threads);
  }

  @Benchmark
  public float step() {
    return net.step();
  }

  @TearDown(Level.Trial)
  public void close() {
    net.close();
  }
}
