package io.fbnet.engine.program;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.Op;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

/**
 * {@code docs/operations.md} is written from the operations and the contract's cases. The test
 * fails where the committed file is another; {@code -Dfbnet.docs=write} rewrites it.
 */
class OperationsDocumentTest {
  private static final Path DOCUMENT = Path.of("..", "docs", "operations.md");

  /** To be changed when a report of bench/gpu-check.sh is committed. */
  private static final String GPU_STATE =
      "On an NVIDIA H200 the kernels of 3648bc4 passed these cases, but for that of a"
          + " cross-entropy whose images have weights, which is newer. **Those of `depthwise`,"
          + " `depthwise_products`, `depthwise_weights`, `depthwise_weight_products` and"
          + " `grouped_weights` are newer and have not run on a real GPU yet, nor have those in"
          + " which a search layer's candidates run side by side: `bank`, `bank_fold`,"
          + " `bank_product`, `project_gradient`, `depthwise_gradient` and `runs`, and"
          + " `pixels`, `gumbel_softmax`, `rank_norm`, `activation`, `scale_channels` and the"
          + " functions in `vectors` that networks use** (decisions"
          + " [017](decisions/017-depthwise-on-cuda.md),"
          + " [020](decisions/020-own-products-in-banks.md) and"
          + " [021](decisions/021-banks.md)). All are compiled by nvcc for"
          + " sm_80 to sm_120 without spilled registers, and run on the software CUDA device;"
          + " `bench/gpu-check.sh` runs everything on a machine with a GPU.";

  private static final String ONEDNN = "oneDNN";
  private static final String VECTORS = "own vector loops";
  private static final String PLAIN = "plain loop";

  /** How the CPU carries each one out. A new operation without a line here fails the test. */
  private static Map<Class<? extends Op>, String> onCpu() {
    Map<Class<? extends Op>, String> how = new LinkedHashMap<>();
    how.put(Op.NormaliseImages.class, PLAIN + ", all threads");
    how.put(Op.Convolution.class, ONEDNN);
    how.put(Op.ConvolutionBackwardData.class, ONEDNN);
    how.put(Op.ConvolutionBackwardWeights.class, ONEDNN + "; depthwise 5x5: " + VECTORS);
    how.put(Op.BatchNorm.class, VECTORS);
    how.put(Op.BatchNormApply.class, VECTORS);
    how.put(Op.BatchNormInference.class, VECTORS);
    how.put(Op.BatchNormBackward.class, VECTORS);
    how.put(Op.Sum.class, VECTORS + "; of other than images: " + PLAIN);
    how.put(Op.ChannelShuffle.class, PLAIN + ", all threads");
    how.put(Op.WeightedSum.class, VECTORS);
    how.put(Op.WeightedSumBackwardInput.class, VECTORS);
    how.put(Op.WeightedSumBackwardCoefficients.class, VECTORS);
    how.put(Op.GlobalPool.class, VECTORS);
    how.put(Op.GlobalPoolBackward.class, VECTORS);
    how.put(Op.Linear.class, ONEDNN + "; bias: " + PLAIN);
    how.put(Op.LinearBackwardData.class, ONEDNN);
    how.put(Op.LinearBackwardWeights.class, ONEDNN + "; bias: " + PLAIN);
    how.put(Op.Pointwise.class, PLAIN + "; of images: " + VECTORS);
    how.put(Op.PointwiseBackward.class, PLAIN + "; of images: " + VECTORS);
    how.put(Op.ScaleChannels.class, VECTORS);
    how.put(Op.ScaleChannelsBackwardFactors.class, VECTORS);
    how.put(Op.AllFinite.class, VECTORS);
    how.put(Op.SgdUpdate.class, VECTORS);
    how.put(Op.Blend.class, VECTORS);
    how.put(Op.MeanOverRanks.class, "between processes");
    for (Class<? extends Op> op :
        List.of(
            Op.GumbelSoftmax.class,
            Op.HardMax.class,
            Op.GumbelSoftmaxBackward.class,
            Op.Unstack.class,
            Op.Stack.class,
            Op.CrossEntropy.class,
            Op.CrossEntropyBackward.class,
            Op.LabelRank.class,
            Op.DotConstants.class,
            Op.DotConstantsBackward.class,
            Op.Multiply.class,
            Op.Mean.class,
            Op.MeanBackward.class,
            Op.Fill.class,
            Op.AdamUpdate.class)) {
      how.put(op, PLAIN);
    }
    return how;
  }

  /**
   * How a GPU carries each one out. Kernels named in backquotes are files of {@code kernels/cuda}.
   */
  private static String onCuda(Class<?> op) {
    String name = op.getSimpleName();
    if (name.startsWith("Convolution")) {
      return op == Op.ConvolutionBackwardWeights.class
          ? "1x1: cuBLASLt, in groups in bf16 `grouped_weights`; depthwise 3x3, 5x5:"
              + " `depthwise_weights`, in bf16 with stride 1 `depthwise_weight_products`; else"
              + " cuDNN, f32"
          : "1x1: cuBLASLt; depthwise 3x3, 5x5: `depthwise`, in bf16 with stride 1"
              + " `depthwise_products`; else cuDNN, f32";
    }
    if (name.startsWith("Linear")) {
      return "cuBLASLt, f32" + (op == Op.LinearBackwardData.class ? "" : "; bias: `linear`");
    }
    if (name.startsWith("Pointwise")) {
      return "`vectors`; of images: `activation`";
    }
    return op == Op.MeanOverRanks.class
        ? "NCCL, or by way of the host"
        : "`" + kernelFile(name) + "`";
  }

  private static String kernelFile(String operation) {
    return switch (operation) {
      case "BatchNorm", "BatchNormApply", "BatchNormInference", "BatchNormBackward" -> "batch_norm";
      case "GumbelSoftmax", "GumbelSoftmaxBackward", "HardMax" -> "gumbel_softmax";
      case "GlobalPool", "GlobalPoolBackward" -> "global_pool";
      case "CrossEntropy", "CrossEntropyBackward", "LabelRank" -> "cross_entropy";
      case "NormaliseImages" -> "pixels";
      case "Sum" -> "sum";
      case "ChannelShuffle" -> "channel_shuffle";
      case "AllFinite" -> "all_finite";
      case "SgdUpdate" -> "sgd";
      case "AdamUpdate" -> "adam";
      case "Blend" -> "blend";
      case "ScaleChannels", "ScaleChannelsBackwardFactors" -> "scale_channels";
      default -> operation.startsWith("WeightedSum") ? "weighted_sum" : "vectors";
    };
  }

  /** Why an operation's gradient is compared with no finite differences. */
  private static String withoutGradient(Class<?> op) {
    if (op == Op.NormaliseImages.class) {
      return "none: it reads bytes";
    }
    if (op == Op.BatchNormInference.class) {
      return "none: evaluation only";
    }
    if (op == Op.BatchNormApply.class) {
      return "none: a part of `BatchNorm` once more";
    }
    if (op == Op.LabelRank.class || op == Op.AllFinite.class) {
      return "none: a count";
    }
    if (op == Op.MeanOverRanks.class) {
      return "none: comes after the gradients";
    }
    if (op == Op.SgdUpdate.class || op == Op.AdamUpdate.class || op == Op.Blend.class) {
      return "none: the end of a step";
    }
    if (op == Op.Fill.class) {
      return "none: a constant";
    }
    if (op == Op.HardMax.class) {
      return "straight through: `AutodiffTest`";
    }
    if (op == Op.Stack.class || op.getSimpleName().contains("Backward")) {
      return "is one";
    }
    throw new IllegalStateException(
        op.getSimpleName() + " has a gradient that no contract case compares");
  }

  /** Where operations are tested that no contract case builds. */
  private static String elsewhere(Class<?> op) {
    if (op == Op.SgdUpdate.class || op == Op.AdamUpdate.class || op == Op.AllFinite.class) {
      return "`OptimiserTest`";
    }
    if (op == Op.Blend.class) {
      return "`BlendTest`";
    }
    if (op == Op.MeanOverRanks.class) {
      return "`RanksTest`";
    }
    if (op == Op.Fill.class) {
      return "`SmallSupernetTest`";
    }
    throw new IllegalStateException(op.getSimpleName() + " is in no contract case");
  }

  /** Names of places, and where phases begin, are no back end's business. */
  private static final Set<Class<?>> NOTHING_RUNS =
      Set.of(Op.Branch.class, Op.Choose.class, Op.Phase.class);

  private static List<Class<?>> operations() {
    return Arrays.stream(Op.class.getPermittedSubclasses())
        .filter(op -> !NOTHING_RUNS.contains(op))
        .toList();
  }

  private static Set<Class<?>> classes(Graph graph) {
    return graph.ops().stream().map(Op::getClass).collect(Collectors.toSet());
  }

  private static String document() {
    Map<String, Integer> cases = new TreeMap<>();
    Map<String, Integer> gradients = new TreeMap<>();
    for (OperationCases.Case c : OperationCases.all()) {
      Subject subject = Subject.of(c);
      for (Class<?> op : classes(subject.graph())) {
        cases.merge(op.getSimpleName(), 1, Integer::sum);
      }
      if (!subject.gradients().isEmpty()) {
        GraphBuilder forward = new GraphBuilder();
        forward.output("y", c.build().apply(forward));
        for (Class<?> op : classes(forward.build())) {
          gradients.merge(op.getSimpleName(), 1, Integer::sum);
        }
      }
    }
    List<String> lines = new ArrayList<>();
    lines.add("# Operations");
    lines.add("");
    lines.add(
        "What each back end can do, and what is tested. Written by `OperationsDocumentTest` from"
            + " the sealed interface `Op` and the cases of the contract suite; `mvn verify -pl"
            + " engine -am -Dfbnet.docs=write` writes it again.");
    lines.add("");
    lines.add(
        "Every case runs on `reference` (plain Java in double, the definition) and on `cpu` with"
            + " one thread, two threads and without the vector module, and is compared with"
            + " `reference`; and on `cuda` in f32, TF32 and bf16, on the software CUDA device in"
            + " CI, there also with streams that run only when waited for and with threads in"
            + " descending order. \"Gradient\" counts the cases in which `reference` is compared"
            + " with finite differences. \"is one\": a backward operation, whose result is what"
            + " those comparisons look at.");
    lines.add("");
    lines.add(
        "The table is of operations by themselves. On `cpu` several run together, a few images at a"
            + " time ([decision 011](decisions/011-stages.md)); on `cuda` normalised images and"
            + " shares of a weighted sum's gradient are made while they are read, where nothing"
            + " else reads them ([decision 014](decisions/014-cuda-fusion.md)).");
    lines.add("");
    lines.add(GPU_STATE);
    lines.add("");
    lines.add("| operation | reference | cpu | cuda | cases | gradient |");
    lines.add("| --- | --- | --- | --- | --- | --- |");
    List<String> uncovered = new ArrayList<>();
    Map<Class<? extends Op>, String> how = onCpu();
    for (Class<?> op : operations()) {
      String name = op.getSimpleName();
      Integer compared = gradients.get(name);
      String gradient = compared == null ? withoutGradient(op) : compared.toString();
      String tested = cases.containsKey(name) ? cases.get(name).toString() : elsewhere(op);
      lines.add(
          "| `%s` | double | %s | %s | %s | %s |"
              .formatted(name, how.get(op), onCuda(op), tested, gradient));
      if (gradient.startsWith("none")) {
        uncovered.add("`" + name + "` (" + gradient.substring("none: ".length()) + ")");
      }
    }
    lines.add("");
    lines.add(
        "`Branch`, `Choose` and `Phase` say which operations of a step run: nothing computes them"
            + " ([decision 022](decisions/022-paths.md), `PathTest`).");
    lines.add("");
    lines.add("No gradient test covers: " + String.join(", ", uncovered) + ".");
    lines.add("");
    lines.add(
        "Nor does one cover gradients with respect to `tau`, which is a setting, gradients of"
            + " gradients, or the running statistics of a batch norm, which are state.");
    lines.add("");
    return String.join("\n", lines);
  }

  @Test
  void everyOperationHasALine() {
    assertEquals(Set.copyOf(operations()), Set.copyOf(onCpu().keySet()));
  }

  @Test
  void theCommittedTableIsUpToDate() throws IOException {
    String expected = document();
    if ("write".equals(System.getProperty("fbnet.docs"))) {
      Files.writeString(DOCUMENT, expected);
    }
    String committed = Files.exists(DOCUMENT) ? Files.readString(DOCUMENT) : "";
    assertEquals(expected, committed, "docs/operations.md is stale: run with -Dfbnet.docs=write");
  }
}
