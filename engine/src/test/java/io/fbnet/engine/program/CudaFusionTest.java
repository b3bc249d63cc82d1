package io.fbnet.engine.program;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.backend.Precision;
import io.fbnet.engine.backend.Step;
import io.fbnet.engine.cuda.CudaOptions;
import io.fbnet.engine.graph.Autodiff;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.ParameterSpec.Initial;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import io.fbnet.engine.reference.ReferenceBackend;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Operations that run as part of others: the same results with fewer calls, bytes and values. */
class CudaFusionTest {
  private static final long SEED = 20261125L;

  private static Graph graph(boolean noisePerImage) {
    return SmallSupernet.of(5, noisePerImage, SmallSupernet.Update.BOTH_OPTIMISERS).graph();
  }

  private static CudaOptions options(Precision precision) {
    return new CudaOptions(precision, true, true, true);
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void resultsAreThoseOfEveryOperationByItself(boolean noisePerImage) {
    Map<String, List<Integer>> fused = firstStep(options(Precision.F32), noisePerImage, SEED);
    Map<String, List<Integer>> apart =
        firstStep(options(Precision.F32).separate(), noisePerImage, SEED);
    assertEquals(apart.keySet(), fused.keySet());
    // Sums in another order; some of these gradients nearly cancel.
    fused.keySet().forEach(name -> assertEquals(0, error(apart, fused, name), 1e-4, name));
  }

  /** Where narrow numbers are not written they are not rounded, and some ReLUs turn over. */
  @ParameterizedTest
  @EnumSource(names = {"TF32", "BF16"})
  void narrowResultsAreNoFartherFromTheReference(Precision precision) {
    List<Double> ofFused = new ArrayList<>();
    List<Double> ofApart = new ArrayList<>();
    for (long seed = SEED; seed < SEED + 4; seed++) {
      for (boolean noisePerImage : new boolean[] {false, true}) {
        Map<String, List<Integer>> reference =
            firstStep(new ReferenceBackend(), noisePerImage, seed);
        Map<String, List<Integer>> fused = firstStep(options(precision), noisePerImage, seed);
        Map<String, List<Integer>> apart =
            firstStep(options(precision).separate(), noisePerImage, seed);
        for (String name : reference.keySet()) {
          ofFused.add(error(reference, fused, name));
          ofApart.add(error(reference, apart, name));
        }
      }
    }
    double fused = median(ofFused);
    assertTrue(
        fused > 0 && fused < 1.2 * median(ofApart),
        fused + " instead of " + median(ofApart) + ", seeds from " + SEED);
  }

  private static double median(List<Double> errors) {
    return errors.stream().sorted().toList().get(errors.size() / 2);
  }

  /** The norm of the difference by the norm of what is expected. */
  private static double error(
      Map<String, List<Integer>> expected, Map<String, List<Integer>> actual, String name) {
    double norm = 0;
    double difference = 0;
    for (int i = 0; i < expected.get(name).size(); i++) {
      double e = Float.intBitsToFloat(expected.get(name).get(i));
      norm += e * e;
      difference += Math.pow(Float.intBitsToFloat(actual.get(name).get(i)) - e, 2);
    }
    return difference == 0 ? 0 : Math.sqrt(difference / norm);
  }

  private static Map<String, List<Integer>> firstStep(
      CudaOptions options, boolean noisePerImage, long seed) {
    return firstStep(Devices.cuda(options), noisePerImage, seed);
  }

  private static Map<String, List<Integer>> firstStep(
      Backend backend, boolean noisePerImage, long seed) {
    try (backend;
        Instance instance = new Instance(backend, graph(noisePerImage), seed)) {
      return instance.threeSteps().getFirst();
    }
  }

  /** A block alone and a gradient's share of it, where no second candidate makes a bank of them. */
  @Test
  void whatIsNeverWrittenIsSaved() {
    Graph graph = oneBlock();
    try (Backend fused = Devices.cuda(options(Precision.F32));
        Backend apart = Devices.cuda(options(Precision.F32).separate());
        Instance a = new Instance(fused, graph, SEED);
        Instance b = new Instance(apart, graph, SEED)) {
      assertTrue(a.program.calls() > 0);
      // Normalised images before the depthwise convolution, and the share of the gradient.
      Set<Value> gone = written(b.program);
      gone.removeAll(written(a.program));
      assertEquals(2, gone.size(), gone.toString());
      assertEquals(b.program.calls() - 2, a.program.calls());
      assertTrue(a.program.movedBytes() < b.program.movedBytes());
      assertTrue(a.program.plannedBytes() < b.program.plannedBytes());
      a.program.run();
      b.program.run();
      for (String name : graph.outputs().keySet()) {
        assertEquals(0, error(b.bits(), a.bits(), name), 1e-5, name);
      }
    }
  }

  private static Graph oneBlock() {
    GraphBuilder b = new GraphBuilder();
    Value x = b.input("x", Type.F32, 4, 10, 9, 9);
    List<Value> parameters = new ArrayList<>();
    Value y = unit(b, parameters, "expand", x, 20, 1, 1, true);
    y = unit(b, parameters, "depthwise", y, 20, 3, 20, true);
    y = unit(b, parameters, "project", y, 10, 1, 1, false);
    Value m = b.input("m", Type.F32, 1, 2);
    Value loss = b.mean(b.globalPool(b.weightedSum(List.of(y, x), m)));
    b.output("loss", loss);
    Autodiff.gradients(b, loss, parameters)
        .forEach((p, gradient) -> b.output("d " + p.name(), gradient));
    return b.build();
  }

  private static Value unit(
      GraphBuilder b,
      List<Value> parameters,
      String name,
      Value x,
      int out,
      int k,
      int groups,
      boolean relu) {
    int in = x.shape().get(1) / groups;
    Value w = b.parameter("weights", name, true, new Initial.Normal(1), out, in, k, k);
    Value gamma = b.parameter("weights", name + " gamma", false, new Initial.Normal(1), out);
    Value beta = b.parameter("weights", name + " beta", false, new Initial.Normal(1), out);
    parameters.addAll(List.of(w, gamma, beta));
    return b.batchNorm(
        b.convolution(x, w, 1, groups),
        gamma,
        beta,
        b.parameter("statistics", name + " mean", false, new Initial.Constant(0), out),
        b.parameter("statistics", name + " variance", false, new Initial.Constant(1), out),
        b.control("momentum", Type.F32),
        1e-5f,
        relu);
  }

  private static Set<Value> written(Program program) {
    return program.steps().stream()
        .map(Step::outputs)
        .flatMap(List::stream)
        .collect(Collectors.toSet());
  }
}
