package io.fbnet.bench;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.cpu.CpuBackend;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.program.ParameterStore;
import io.fbnet.engine.program.Program;
import io.fbnet.nas.network.NetworkBuilder;
import io.fbnet.nas.network.PathGraphs;
import io.fbnet.nas.search.PathSampler;
import io.fbnet.nas.search.PathSampling;
import io.fbnet.nas.search.Theta;
import io.fbnet.nas.space.SearchSpace;
import java.util.Arrays;
import java.util.Locale;

/**
 * Steps of single paths as shares of the mixture's w step, in time and in planned memory, as
 * Markdown: {@code java -cp benchmarks.jar io.fbnet.bench.PathShares cifar:32,fashion:64 2}, with
 * the number of threads. Paths are drawn uniformly, a new one for every step; a share of time is
 * the mean of the steps of a turn over the mixture's step of that turn.
 */
public final class PathShares {
  private static final int WARM_UP = 3;
  private static final int TURNS = 8;
  private static final int STEPS = 8;
  private static final long SEED = 1;
  private static final Theta NO_THETA = new Theta(new double[0][]);

  private PathShares() {}

  /** A step of single paths, compiled. */
  private static final class Paths implements AutoCloseable {
    private final PathSampler sampler;
    private final ParameterStore store;
    private final Program program;
    private final double compileSeconds;
    private long steps;

    Paths(Backend backend, StepSetting setting, boolean lean) {
      SearchSpace space = setting.space();
      sampler = new PathSampler(PathSampling.UNIFORM, space, SEED);
      PathGraphs graphs = new PathGraphs(space, setting.normalisation(), true);
      Graph graph = graphs.training(setting.batch(), 0.9, 1e-4, lean);
      store = new ParameterStore(backend, graph.parameters());
      store.initialise(SEED);
      long start = System.nanoTime();
      program = Program.compile(backend, graph, store);
      compileSeconds = (System.nanoTime() - start) / 1e9;
      SupernetFixture.writeBatch(program, space, setting.batch());
      program.set(NetworkBuilder.NORM_MOMENTUM, 0.1);
      program.set(PathGraphs.RATE, 0.01);
      program.set(PathGraphs.SHARE, 1.0);
    }

    /** Nanoseconds of one step of a path of its own. */
    double step() {
      int[] path = sampler.paths(NO_THETA, steps).getFirst();
      steps++;
      long start = System.nanoTime();
      program.run(Op.Phase.FIRST, path);
      program.run(PathGraphs.UPDATE_OUTLINE, path);
      program.run(PathGraphs.UPDATE, path);
      return System.nanoTime() - start;
    }

    double mean() {
      double sum = 0;
      for (int i = 0; i < STEPS; i++) {
        sum += step() / STEPS;
      }
      return sum;
    }

    @Override
    public void close() {
      program.close();
      store.close();
    }
  }

  /** Prints a row for each space and batch. */
  public static void main(String[] arguments) {
    int threads = Integer.parseInt(arguments[1]);
    System.out.println(
        "| space:batch | path / w | lean path / w | planned MB: w | path | lean path | shares |"
            + " compiled in s: path |\n| --- | --- | --- | --- | --- | --- | --- | --- |");
    try (Backend backend = CpuBackend.open(threads)) {
      for (StepSetting setting : StepSetting.parse(arguments[0])) {
        row(backend, setting);
      }
    }
  }

  private static void row(Backend backend, StepSetting setting) {
    try (SupernetFixture w =
            new SupernetFixture(backend, setting.space(), setting.batch(), false, false);
        Paths kept = new Paths(backend, setting, false);
        Paths lean = new Paths(backend, setting, true)) {
      double[] ofKept = new double[TURNS];
      double[] ofLean = new double[TURNS];
      for (int turn = -WARM_UP; turn < TURNS; turn++) {
        long start = System.nanoTime();
        w.program.run();
        double mixture = System.nanoTime() - start;
        double path = kept.mean() / mixture;
        double leanPath = lean.mean() / mixture;
        if (turn >= 0) {
          ofKept[turn] = path;
          ofLean[turn] = leanPath;
        }
      }
      double planned = bytes(w.program);
      System.out.printf(
          Locale.ROOT,
          "| %s:%d | %s | %s | %.0f | %.0f | %.0f | %.3f, %.3f | %.1f |%n",
          setting.space().name(),
          setting.batch(),
          quartiles(ofKept),
          quartiles(ofLean),
          planned / 1e6,
          bytes(kept.program) / 1e6,
          bytes(lean.program) / 1e6,
          bytes(kept.program) / planned,
          bytes(lean.program) / planned,
          kept.compileSeconds);
    }
  }

  /** What a step holds beside its parameters. */
  private static double bytes(Program program) {
    return program.plannedBytes() + program.workspaceBytes();
  }

  private static String quartiles(double[] values) {
    Arrays.sort(values);
    return String.format(
        Locale.ROOT,
        "%.3f (%.3f to %.3f)",
        values[TURNS / 2],
        values[TURNS / 4],
        values[3 * TURNS / 4]);
  }
}
