package io.fbnet.engine.program;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.backend.Precision;
import io.fbnet.engine.backend.Step;
import io.fbnet.engine.cuda.CudaOptions;
import io.fbnet.engine.graph.Graph;
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
    fused.keySet().forEach(name -> assertEquals(0, error(apart, fused, name), 1e-5, name));
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

  @Test
  void whatIsNeverWrittenIsSaved() {
    try (Backend fused = Devices.cuda(options(Precision.F32));
        Backend apart = Devices.cuda(options(Precision.F32).separate());
        Instance a = new Instance(fused, graph(false), SEED);
        Instance b = new Instance(apart, graph(false), SEED)) {
      assertTrue(a.program.calls() > 0);
      // Normalised images of the three blocks without a shuffle; gradients of the first layer's
      // three candidates, for in the second the sum with x reads them as well.
      Set<Value> gone = written(b.program);
      gone.removeAll(written(a.program));
      assertEquals(6, gone.size(), gone.toString());
      assertEquals(b.program.calls() - 6, a.program.calls());
      assertTrue(a.program.movedBytes() < b.program.movedBytes());
      assertTrue(a.program.plannedBytes() < b.program.plannedBytes());
    }
  }

  private static Set<Value> written(Program program) {
    return program.steps().stream()
        .map(Step::outputs)
        .flatMap(List::stream)
        .collect(Collectors.toSet());
  }
}
