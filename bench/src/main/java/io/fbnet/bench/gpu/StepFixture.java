package io.fbnet.bench.gpu;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import io.fbnet.bench.StepSetting;
import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.backend.HostMemory;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.program.ParameterStore;
import io.fbnet.engine.program.Program;
import io.fbnet.nas.network.BatchInputs;
import io.fbnet.nas.network.NetworkBuilder;
import io.fbnet.nas.network.SupernetGraphs;
import io.fbnet.nas.space.SearchSpace;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/** A supernet's step with a few random batches in host memory, which take turns. */
final class StepFixture implements AutoCloseable {
  private static final int BATCHES = 4;

  final ParameterStore store;
  final List<MemorySegment> images = new ArrayList<>();
  final List<MemorySegment> labels = new ArrayList<>();
  private final HostMemory memory;
  private final SupernetGraphs graphs;
  private final StepSetting setting;
  private final Backend backend;

  /** The program of the current step, which {@link #compile} sets. */
  Program program;

  private long steps;

  StepFixture(Backend backend, StepSetting setting) {
    this.backend = backend;
    memory = backend.hostMemory();
    this.setting = setting;
    graphs = setting.graphs();
    store = new ParameterStore(backend, graphs.weightStep(setting.batch()).parameters());
  }

  /** Weights and batches, made when a step first runs: a plan needs none. */
  void fill() {
    store.initialise(1);
    SearchSpace.Input in = setting.space().input();
    long n = (long) setting.batch() * in.channels() * in.height() * in.width();
    Random random = new Random(1);
    for (int i = 0; i < BATCHES; i++) {
      MemorySegment pixels = memory.allocate(n, 64);
      for (long k = 0; k < n; k++) {
        pixels.set(JAVA_BYTE, k, (byte) random.nextInt());
      }
      images.add(pixels);
      MemorySegment classes = memory.allocate(setting.batch() * 4L, 64);
      for (long k = 0; k < setting.batch(); k++) {
        classes.setAtIndex(JAVA_INT, k, random.nextInt(setting.space().classes()));
      }
      labels.add(classes);
    }
  }

  /** Compiles the w step or the theta step, in place of the one before. */
  void compile(boolean theta, double tau) {
    closeProgram();
    Graph graph = theta ? graphs.thetaStep(setting.batch()) : graphs.weightStep(setting.batch());
    program = Program.compile(backend, graph, store);
    steps = 0;
    program.set("tau", tau);
    program.set("seed", 1L);
    program.set("rate", theta ? StepSetting.THETA_RATE : StepSetting.RATE);
    if (theta) {
      program.set("count", 1.0);
    } else {
      program.set(NetworkBuilder.NORM_MOMENTUM, 0.1);
    }
  }

  /** Enqueues a step on the next batch. */
  void step() {
    if (images.isEmpty()) {
      fill();
    }
    int batch = (int) (steps % BATCHES);
    program.lend(BatchInputs.IMAGES, images.get(batch));
    program.lend(BatchInputs.LABELS, labels.get(batch));
    program.set("step", ++steps);
    program.run();
  }

  /** Milliseconds a step by the host's clock, uploads included, over {@code count} steps. */
  double wall(int count) {
    long start = System.nanoTime();
    for (int i = 0; i < count; i++) {
      step();
    }
    backend.synchronise();
    return (System.nanoTime() - start) / 1e6 / count;
  }

  private void closeProgram() {
    if (program != null) {
      program.close();
      program = null;
    }
  }

  @Override
  public void close() {
    closeProgram();
    store.close();
    memory.close();
  }
}
