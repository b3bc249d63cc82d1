package io.fbnet.nas.search;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.fbnet.engine.backend.Readback;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.program.Program;
import io.fbnet.nas.data.Batch;
import io.fbnet.nas.network.BatchInputs;
import io.fbnet.nas.network.NetworkBuilder;
import io.fbnet.nas.network.PathGraphs;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.ToDoubleFunction;

/**
 * Steps that train w by paths of its supernet: the gradients of a step's paths are added up, then
 * the blocks that they took are updated, once each, and no others. An update waits until it is
 * known that every gradient is finite.
 */
public final class PathSteps {
  private static final String[] OUTPUTS = {"loss", "finite", "rank"};
  private static final String[] WEIGHTED_OUTPUTS = {"loss", "finite", "rank", PathGraphs.CE};

  private final Program program;
  private final ToDoubleFunction<int[]> latencyMs;
  private final boolean distils;

  /**
   * Steps of a supernet.
   *
   * @param program of {@link PathGraphs#training}
   * @param latencyMs of a path, by the table
   */
  public PathSteps(Program program, ToDoubleFunction<int[]> latencyMs) {
    this(program, latencyMs, false);
  }

  /**
   * Steps of a supernet.
   *
   * @param program of {@link PathGraphs#distillation} where paths are distilled, else of {@link
   *     PathGraphs#training}
   * @param latencyMs of a path, by the table
   * @param distils whether a step's first path learns from the labels and all others from what it
   *     then says of the images
   */
  public PathSteps(Program program, ToDoubleFunction<int[]> latencyMs, boolean distils) {
    this.distils = distils;
    this.program = program;
    this.latencyMs = latencyMs;
    program.set(NetworkBuilder.NORM_MOMENTUM, SearchLoop.NORM_MOMENTUM);
    program.set(PathGraphs.SHARE, 1.0);
  }

  /**
   * Runs a step.
   *
   * @param batch of all its paths
   * @param paths one or more
   * @param rate of SGD
   * @return results in the order of {@link StepInFlight}: means over the paths, and the rank of
   *     each image in each of them; the cross-entropy is without weights, where images have any
   */
  public Readback run(Batch batch, List<int[]> paths, double rate) {
    program.set(PathGraphs.SHARE_OUTLINE, 1.0 / paths.size());
    program.set(PathGraphs.RATE, rate);
    boolean weighted = batch.weights().isPresent();
    String[] outputs = weighted ? WEIGHTED_OUTPUTS : OUTPUTS;
    List<Readback> running = new ArrayList<>();
    for (int i = 0; i < paths.size(); i++) {
      if (distils) {
        prepare(i == 0);
      }
      BatchInputs.lend(program, batch);
      program.run(Op.Phase.FIRST, paths.get(i));
      running.add(program.readLater(outputs));
      if (distils && i == 0) {
        teach(batch);
      }
    }
    float loss = 0;
    float ce = 0;
    boolean finite = true;
    double microseconds = 0;
    float[] ranks = new float[0];
    for (int i = 0; i < paths.size(); i++) {
      float[][] values = running.get(i).await();
      loss += values[0][0] / paths.size();
      ce += values[weighted ? 3 : 0][0] / paths.size();
      finite &= values[1][0] == 1;
      microseconds += 1000 * latencyMs.applyAsDouble(paths.get(i)) / paths.size();
      int from = ranks.length;
      ranks = Arrays.copyOf(ranks, from + values[2].length);
      System.arraycopy(values[2], 0, ranks, from, values[2].length);
    }
    if (finite) {
      update(paths);
    }
    return Readback.of(
        new float[][] {{loss}, {finite ? 1 : 0}, ranks, {(float) microseconds}, {ce}});
  }

  private void prepare(boolean teacher) {
    program.set(PathGraphs.OF_LABELS, teacher ? 1.0 : 0.0);
    program.set(PathGraphs.OF_TEACHER, teacher ? 0.0 : 1.0);
  }

  /** Hands what the path said that ran last to those that follow, each image by its weight. */
  private void teach(Batch batch) {
    float[] probabilities = program.read(PathGraphs.PROBABILITIES);
    batch.weights().ifPresent(weights -> weigh(probabilities, weights));
    try (Arena arena = Arena.ofConfined()) {
      program.write(PathGraphs.TEACHER, arena.allocateFrom(JAVA_FLOAT, probabilities));
    }
  }

  private static void weigh(float[] probabilities, MemorySegment weights) {
    int images = (int) (weights.byteSize() / Float.BYTES);
    int classes = probabilities.length / images;
    for (int i = 0; i < probabilities.length; i++) {
      probabilities[i] *= weights.getAtIndex(JAVA_FLOAT, i / classes);
    }
  }

  private void update(List<int[]> paths) {
    int layers = paths.getFirst().length;
    int[] none = new int[layers];
    Arrays.fill(none, -1);
    program.run(PathGraphs.UPDATE_OUTLINE, none);
    for (int i = 0; i < paths.size(); i++) {
      int[] rest = paths.get(i).clone();
      for (int l = 0; l < layers; l++) {
        for (int earlier = 0; earlier < i; earlier++) {
          // Updated already: what it gathered is all in.
          rest[l] = paths.get(earlier)[l] == paths.get(i)[l] ? -1 : rest[l];
        }
      }
      if (!Arrays.equals(rest, none)) {
        program.run(PathGraphs.UPDATE, rest);
      }
    }
  }
}
