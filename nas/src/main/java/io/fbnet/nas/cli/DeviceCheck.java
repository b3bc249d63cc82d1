package io.fbnet.nas.cli;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.ParameterSpec.Initial;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.program.ParameterStore;
import io.fbnet.engine.program.Program;
import io.fbnet.engine.reference.ReferenceBackend;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** Whether a back end computes rightly: real kernels at odd sizes, beside the reference. */
final class DeviceCheck {
  private static final double TOLERANCE = 1e-4;
  private static final int RUNS = 3;

  private DeviceCheck() {}

  /** By how much the results differ from the reference's, whose largest is about 3. */
  static double error(Backend backend) {
    float[] expected;
    try (Backend reference = new ReferenceBackend()) {
      expected = results(reference);
    }
    float[] actual = results(backend);
    double largest = 0;
    for (int i = 0; i < expected.length; i++) {
      // Math.max keeps a NaN, which no tolerance lets pass.
      largest = Math.max(largest, Math.abs(expected[i] - actual[i]));
    }
    return largest;
  }

  static boolean passes(double error) {
    return error < TOLERANCE;
  }

  /** A convolution, batch norm and ReLU, then a depthwise and a 1x1 convolution. */
  private static float[] results(Backend backend) {
    GraphBuilder b = new GraphBuilder();
    var x = b.input("x", Type.F32, 2, 5, 7, 9);
    var w = b.parameter("weights", "w", true, new Initial.Normal(0.5), 20, 5, 3, 3);
    var gamma = b.parameter("weights", "gamma", false, new Initial.Constant(1.5f), 20);
    var beta = b.parameter("weights", "beta", false, new Initial.Constant(0.25f), 20);
    var mean = b.parameter("statistics", "mean", false, new Initial.Constant(0), 20);
    var variance = b.parameter("statistics", "variance", false, new Initial.Constant(1), 20);
    var depthwise = b.parameter("weights", "d", true, new Initial.Normal(0.3), 20, 1, 3, 3);
    var pointwise = b.parameter("weights", "p", true, new Initial.Normal(0.3), 8, 20, 1, 1);
    var y = b.convolution(x, w, 2, 1);
    y = b.batchNorm(y, gamma, beta, mean, variance, null, 1e-5f, true);
    y = b.convolution(b.convolution(y, depthwise, 1, 20), pointwise, 1, 1);
    b.output("y", y);
    var graph = b.build();
    try (ParameterStore store = new ParameterStore(backend, graph.parameters());
        Arena arena = Arena.ofConfined()) {
      store.initialise(7);
      try (Program program = Program.compile(backend, graph, store)) {
        MemorySegment host = arena.allocate(2 * 5 * 7 * 9 * 4L, 64);
        for (int i = 0; i < 2 * 5 * 7 * 9; i++) {
          host.setAtIndex(JAVA_FLOAT, i, (float) Math.sin(i * 0.7));
        }
        program.write("x", host);
        // A GPU captures the second run and replays it in the third.
        for (int run = 0; run < RUNS; run++) {
          program.run();
        }
        return program.read("y");
      }
    }
  }
}
