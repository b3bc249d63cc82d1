package io.fbnet.engine.graph;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.engine.graph.ParameterSpec.Initial;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class AutodiffTest {
  private final GraphBuilder b = new GraphBuilder();

  private Value parameter(String name, int... shape) {
    return b.parameter("w", name, true, new Initial.Normal(1), shape);
  }

  private String refusal(Value loss, Value... wanted) {
    return assertThrows(
            IllegalArgumentException.class, () -> Autodiff.gradients(b, loss, List.of(wanted)))
        .getMessage();
  }

  @Test
  void aLossHasOneElement() {
    Value x = b.input("x", Type.F32, 3);
    String message = refusal(b.pointwise(x, Op.Function.SCALE, 2), x);
    assertTrue(message.contains("one element") && message.contains("scale[3]"), message);
  }

  @Test
  void aValueThatTheLossDoesNotDependOnIsNamed() {
    Value x = b.input("x", Type.F32, 3);
    Value other = b.input("other", Type.F32, 4);
    Value loss = b.mean(x);
    String message = refusal(loss, x, other);
    assertTrue(message.contains("mean[1]") && message.contains("other[4]"), message);
  }

  @Test
  void aLossThatDependsOnNothingWantedIsNamed() {
    Value loss = b.mean(b.input("x", Type.F32, 3));
    String message = refusal(loss, b.input("other", Type.F32, 4));
    assertTrue(message.contains("mean[1]"), message);
  }

  @Test
  void anOperationWithoutAGradientIsNamed() {
    Value v = parameter("gamma", 3);
    Value x = parameter("x", 2, 3, 4, 4);
    Value y = b.batchNormInference(x, v, v, v, v, 1e-5f, false);
    Value pooled = b.globalPool(y);
    String message = refusal(b.mean(pooled), x);
    assertTrue(message.contains("BatchNormInference"), message);
  }

  @Test
  void hardMaxPassesTheGradientStraightThrough() {
    Value x = parameter("x", 2, 3, 4);
    Constants constants = Constants.of(new float[] {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
    Value hard = b.hardMax(x);
    Value loss = b.mean(b.dotConstants(hard, constants, 0));
    Value gradient = Autodiff.gradients(b, loss, List.of(x)).get(x);
    List<Op> makers =
        b.build().ops().stream().filter(op -> op.outputs().contains(gradient)).toList();
    assertInstanceOf(Op.DotConstantsBackward.class, makers.getFirst());
  }

  @Test
  void ranksCarryNoGradient() {
    Value logits = parameter("logits", 2, 3);
    Value rank = b.labelRank(logits, b.input("labels", Type.I32, 2));
    String message = refusal(b.mean(rank), logits);
    assertTrue(message.contains("does not depend"), message);
  }

  @Test
  void weightsAndBiasOfALinearLayerGoTogether() {
    Value w = parameter("weight", 5, 3);
    Value bias = parameter("bias", 5);
    Value loss = b.mean(b.linear(b.input("x", Type.F32, 2, 3), w, bias));
    String message = refusal(loss, w);
    assertTrue(message.contains("weight[5, 3]") && message.contains("bias[5]"), message);
  }

  @Test
  void aStepOfThetaComputesNoWeightGradient() {
    Value m = b.input("m", Type.F32, 1, 1);
    Value w = parameter("w", 8, 3, 1, 1);
    Value mix =
        b.weightedSum(List.of(b.convolution(b.input("x", Type.F32, 2, 3, 4, 4), w, 1, 1)), m);
    Autodiff.gradients(b, b.mean(b.globalPool(mix)), List.of(m));
    assertTrue(
        b.ops().stream()
            .noneMatch(
                op ->
                    op instanceof Op.ConvolutionBackwardWeights
                        || op instanceof Op.ConvolutionBackwardData
                        || op instanceof Op.WeightedSumBackwardInput));
  }

  @Test
  void gradientsOfParametersLieInTheGradientBuffer() {
    Value w = parameter("w", 8, 3, 1, 1);
    Value y = b.convolution(b.input("x", Type.F32, 2, 3, 4, 4), w, 1, 1);
    Value gradient = Autodiff.gradients(b, b.mean(b.globalPool(y)), List.of(w)).get(w);
    assertEquals(new Storage.Gradient("w", "w"), b.storageOf(gradient));
  }

  /** One value cannot lie in two places of the gradient buffer, nor in an input's as well. */
  @Test
  void equalGradientsOfTwoParametersAreTwoValues() {
    Value p = parameter("p", 3);
    Value q = parameter("q", 3);
    Value dy = b.input("dy", Type.F32, 3);
    Map<Value, Value> gradients = Autodiff.pullback(b, b.sum(List.of(p, q)), dy, List.of(p, q));
    assertNotEquals(gradients.get(p), gradients.get(q));
    assertEquals(new Storage.Gradient("w", "p"), b.storageOf(gradients.get(p)));
    assertEquals(new Storage.Gradient("w", "q"), b.storageOf(gradients.get(q)));
    assertInstanceOf(Storage.Input.class, b.storageOf(dy));
  }

  @Test
  void usesOfOneValueAddUp() {
    Value p = parameter("p", 3);
    Autodiff.gradients(b, b.mean(b.multiply(p, p)), List.of(p));
    assertTrue(b.ops().stream().anyMatch(op -> op instanceof Op.Sum s && s.xs().size() == 2));
  }
}
