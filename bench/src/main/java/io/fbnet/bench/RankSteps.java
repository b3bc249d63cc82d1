package io.fbnet.bench;

import io.fbnet.engine.backend.Communicator;
import io.fbnet.engine.backend.Precision;
import io.fbnet.engine.cpu.CpuBackend;
import io.fbnet.engine.graph.AcrossRanks;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.program.ParameterStore;
import io.fbnet.engine.program.Program;
import io.fbnet.engine.ranks.Ranks;
import io.fbnet.nas.network.NetworkBuilder;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.Arrays;
import java.util.Locale;

/**
 * The w step of a supernet as ranks share it, one thread each: {@code java -cp benchmarks.jar
 * io.fbnet.bench.RankSteps cifar:32} by itself or under mpirun, with the images of one rank. Rank 0
 * prints medians: milliseconds of a step, of a mean of as many bytes as its gradients have, and of
 * a copy of as many on all ranks at once, the three taking turns; and the bytes of all exchanges.
 */
public final class RankSteps {
  private static final int WARM_UP = 10;
  private static final int TURNS = 30;
  private static final int ALIGNMENT = 64;

  private RankSteps() {}

  /** Prints one line. */
  public static void main(String[] arguments) {
    StepSetting setting = StepSetting.parse(arguments[0]).getFirst();
    boolean norms = arguments.length > 1 && arguments[1].equals("sync-bn");
    try (Communicator ranks =
            Ranks.ofThisProcess(() -> Duration.ofMinutes(5), note -> System.err.println(note));
        CpuBackend backend = CpuBackend.open(1, Precision.F32, ranks)) {
      Graph whole = setting.graphs().weightStep(setting.batch());
      Graph step = ranks.size() == 1 ? whole : AcrossRanks.share(whole, ranks.rank(), norms);
      try (ParameterStore store = new ParameterStore(backend, step.parameters());
          Program program = Program.compile(backend, step, store);
          Arena arena = Arena.ofConfined()) {
        store.initialise(1);
        program.set("tau", StepSetting.TAU);
        program.set("seed", 1L);
        program.set("step", 1L);
        program.set("rate", StepSetting.RATE);
        program.set(NetworkBuilder.NORM_MOMENTUM, 0.1);
        SupernetFixture.writeBatch(program, setting.space(), setting.batch());
        long gradients = store.layout(NetworkBuilder.WEIGHTS).size() * Float.BYTES;
        // Where the step's own gradients lie, too.
        MemorySegment a = ranks.allocate(arena, gradients);
        Runnable means = ranks.means(a, Float.BYTES);
        MemorySegment b = arena.allocate(gradients, ALIGNMENT);
        double[][] times = new double[3][TURNS];
        for (int turn = -WARM_UP; turn < TURNS; turn++) {
          Runnable[] works = {program::run, means, () -> MemorySegment.copy(a, 0, b, 0, gradients)};
          for (int w = 0; w < works.length; w++) {
            ranks.barrier();
            long start = System.nanoTime();
            works[w].run();
            if (turn >= 0) {
              times[w][turn] = (System.nanoTime() - start) / 1e6;
            }
          }
        }
        print(ranks, step, setting, times, gradients);
      }
      ranks.finish();
    }
  }

  private static void print(
      Communicator ranks, Graph step, StepSetting setting, double[][] times, long gradients) {
    if (ranks.rank() > 0) {
      return;
    }
    long bytes =
        step.ops().stream()
            .filter(Op.MeanOverRanks.class::isInstance)
            .flatMap(op -> op.inputs().stream())
            .mapToLong(v -> v.shape().elements() * Float.BYTES)
            .sum();
    Arrays.stream(times).forEach(Arrays::sort);
    double ms = times[0][TURNS / 2];
    System.out.printf(
        Locale.ROOT,
        "{\"ranks\": %d, \"images\": %d, \"step_ms\": %.2f, \"images_s\": %.1f, \"mean_ms\": %.3f,"
            + " \"copy_ms\": %.3f, \"gradient_bytes\": %d, \"bytes\": %d}%n",
        ranks.size(),
        setting.batch() * ranks.size(),
        ms,
        setting.batch() * ranks.size() / ms * 1000,
        times[1][TURNS / 2],
        times[2][TURNS / 2],
        gradients,
        bytes);
  }
}
