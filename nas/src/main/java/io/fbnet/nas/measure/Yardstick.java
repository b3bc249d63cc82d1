package io.fbnet.nas.measure;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.graph.Graph;
import io.fbnet.nas.latency.Statistics;
import io.fbnet.nas.network.ArchitectureGraphs;
import io.fbnet.nas.search.Theta;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.SearchSpace;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;

/**
 * A network that is timed again and again beside whatever is measured. A machine shared with others
 * becomes faster and slower by half within a minute, which is more than random networks differ; in
 * units of a network timed a moment ago their times agree to a few percent. One draw of the space
 * serves, since it uses memory and arithmetic as the others do. Where a compilation's memory comes
 * to lie shifts its times by up to 5%, so several serve at once, and each is replaced after a
 * while.
 */
final class Yardstick implements AutoCloseable {
  private static final long SEED = 2024;
  private static final int COMPILATIONS = 4;
  private static final int USES = 40;
  private static final long VALID_NANOS = 60_000_000L;

  private final Backend backend;
  private final Graph graph;
  private final Deque<TimedProgram> programs = new ArrayDeque<>();
  private final List<Double> times = new ArrayList<>();
  private double current;
  private long taken;

  Yardstick(Backend backend, SearchSpace space, int batch) {
    this.backend = backend;
    int[] choice = Theta.uniform(space).sample(SEED, 0);
    graph = ArchitectureGraphs.inference(Architecture.of("", space, choice), batch);
    while (programs.size() < COMPILATIONS) {
      compile(programs.isEmpty());
    }
  }

  private void compile(boolean first) {
    TimedProgram program = new TimedProgram(backend, graph);
    programs.add(program);
    program.warmUp(first);
  }

  /** What it takes now, ms. */
  double now() {
    if (!times.isEmpty() && System.nanoTime() - taken < VALID_NANOS) {
      return current;
    }
    if (times.size() % USES == USES - 1) {
      programs.remove().close();
      compile(false);
    }
    current = programs.stream().mapToDouble(TimedProgram::glance).average().orElseThrow();
    times.add(current);
    taken = System.nanoTime();
    return current;
  }

  /** What it took all in all, ms. */
  double level() {
    return Statistics.median(times);
  }

  @Override
  public void close() {
    programs.forEach(TimedProgram::close);
  }
}
