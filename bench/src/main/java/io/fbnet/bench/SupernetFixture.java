package io.fbnet.bench;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.program.ParameterStore;
import io.fbnet.engine.program.Program;
import io.fbnet.nas.network.BatchInputs;
import io.fbnet.nas.network.NetworkBuilder;
import io.fbnet.nas.network.SupernetGraphs;
import io.fbnet.nas.space.SearchSpace;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Random;

/** A supernet with random images, ready to step. */
final class SupernetFixture implements AutoCloseable {
  final Program program;
  private final ParameterStore store;

  SupernetFixture(Backend backend, SearchSpace space, int batch, boolean theta, boolean lean) {
    SupernetGraphs graphs = new StepSetting(space, batch).graphs(lean);
    Graph weightStep = graphs.weightStep(batch);
    store = new ParameterStore(backend, weightStep.parameters());
    store.initialise(1);
    program = Program.compile(backend, theta ? graphs.thetaStep(batch) : weightStep, store);
    program.set("tau", StepSetting.TAU);
    program.set("seed", 1L);
    program.set("step", 1L);
    program.set("rate", theta ? StepSetting.THETA_RATE : StepSetting.RATE);
    if (theta) {
      program.set("count", 1.0);
    } else {
      program.set(NetworkBuilder.NORM_MOMENTUM, 0.1);
    }
    writeBatch(program, space, batch);
  }

  /** Random images and labels. */
  static void writeBatch(Program program, SearchSpace space, int batch) {
    Random random = new Random(1);
    SearchSpace.Input in = space.input();
    try (Arena arena = Arena.ofConfined()) {
      long n = (long) batch * in.channels() * in.height() * in.width();
      MemorySegment images = arena.allocate(n, 64);
      for (long i = 0; i < n; i++) {
        images.set(JAVA_BYTE, i, (byte) random.nextInt());
      }
      MemorySegment labels = arena.allocate(batch * 4L, 64);
      for (long i = 0; i < batch; i++) {
        labels.setAtIndex(JAVA_INT, i, random.nextInt(space.classes()));
      }
      program.write(BatchInputs.IMAGES, images);
      program.write(BatchInputs.LABELS, labels);
    }
  }

  @Override
  public void close() {
    program.close();
    store.close();
  }
}
