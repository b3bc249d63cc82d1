package io.fbnet.engine.cuda;

import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Value;
import java.util.ArrayList;
import java.util.List;

/**
 * A search layer of which some candidates run side by side, as channels of one tensor.
 *
 * @param mix the weighted sum of the candidates
 * @param candidates those side by side, the ones of one depthwise kernel next to each other
 * @param identities numbers of the candidates that are the layer's input itself
 * @param others numbers of all others
 * @param dy the gradient of the mixture, null where nothing needs it
 * @param coefficients the gradient of the mixing weights, null where nothing needs it
 * @param total the sum of the gradients of the layer's input, null where nothing needs it
 * @param rest what of that sum the bank does not make
 */
record LayerBank(
    Op.WeightedSum mix,
    List<BankCandidate> candidates,
    List<Integer> identities,
    List<Integer> others,
    Value dy,
    Op.WeightedSumBackwardCoefficients coefficients,
    Op.Sum total,
    List<Value> rest) {
  /** Some neighbouring channels of one depthwise kernel. */
  record Range(int kernel, int first, int channels) {}

  Value x() {
    return any().x();
  }

  BankCandidate any() {
    return candidates.getFirst();
  }

  /** Channels between the first and the last convolutions of all candidates. */
  int width() {
    return candidates.stream().mapToInt(BankCandidate::width).sum();
  }

  /** Channels that a candidate gives. */
  int outputs() {
    return mix.y().shape().get(1);
  }

  /** Channels that all of them give. */
  int allOutputs() {
    return outputs() * candidates.size();
  }

  /** The first of a candidate's channels among all of {@link #width}. */
  int first(int candidate) {
    return candidates.subList(0, candidate).stream().mapToInt(BankCandidate::width).sum();
  }

  /** The channels of each depthwise kernel. */
  List<Range> ranges() {
    List<Range> ranges = new ArrayList<>();
    for (int i = 0; i < candidates.size(); i++) {
      BankCandidate c = candidates.get(i);
      if (!ranges.isEmpty() && ranges.getLast().kernel() == c.kernel()) {
        Range before = ranges.removeLast();
        ranges.add(new Range(c.kernel(), before.first(), before.channels() + c.width()));
      } else {
        ranges.add(new Range(c.kernel(), first(i), c.width()));
      }
    }
    return ranges;
  }

  /** Numbers of the candidates that add x with their weight. */
  List<Integer> adding() {
    List<Integer> adding = new ArrayList<>(identities);
    candidates.stream().filter(BankCandidate::addsInput).forEach(c -> adding.add(c.k()));
    return adding;
  }

  /** Whether the candidates' own gradients are wanted, beside those of the mixing weights. */
  boolean hasGradients() {
    return any().gradient() != null;
  }
}
