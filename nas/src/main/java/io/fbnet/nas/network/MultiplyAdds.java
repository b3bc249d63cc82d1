package io.fbnet.nas.network;

import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Value;
import io.fbnet.engine.plan.Sections;
import java.util.Arrays;

/**
 * The multiply-adds of one run of a graph, by the rule of {@link Description}: convolutions and
 * linear layers count, and so do their gradients, each of which takes as many as the layer does.
 * What a lean step computes twice counts twice. In a graph with choices a run takes what always
 * runs and one alternative of each choice.
 */
public final class MultiplyAdds {
  private final long always;

  /** What each alternative adds, [choice][alternative]; without choices empty. */
  private final long[][] alternatives;

  private MultiplyAdds(long always, long[][] alternatives) {
    this.always = always;
    this.alternatives = alternatives;
  }

  /**
   * {@return what a graph takes, in all its phases}
   *
   * @param graph with choices or without
   */
  public static MultiplyAdds of(Graph graph) {
    Sections sections = Sections.of(graph, graph.ops());
    long always = 0;
    int[] counts = sections.alternatives();
    long[][] alternatives = Arrays.stream(counts).mapToObj(long[]::new).toArray(long[][]::new);
    for (Sections.Section section : sections.sections()) {
      long macs = section.ops().stream().mapToLong(MultiplyAdds::of).sum();
      if (section.choice() == Sections.ALWAYS) {
        always += macs;
      } else {
        alternatives[section.choice()][section.alternative()] += macs;
      }
    }
    return new MultiplyAdds(always, alternatives);
  }

  /** What one operation takes. */
  static long of(Op op) {
    return switch (op) {
      case Op.Convolution c -> c.y().shape().elements() * perOutput(c.w());
      case Op.ConvolutionBackwardData c -> c.dy().shape().elements() * perOutput(c.w());
      case Op.ConvolutionBackwardWeights c -> c.dy().shape().elements() * perOutput(c.dw());
      case Op.Linear l -> l.y().shape().elements() * perOutput(l.w());
      case Op.LinearBackwardData l -> l.dy().shape().elements() * perOutput(l.w());
      case Op.LinearBackwardWeights l -> l.dy().shape().elements() * perOutput(l.dw());
      default -> 0;
    };
  }

  /** Products that one output element of a convolution or linear layer sums. */
  private static long perOutput(Value weight) {
    return weight.shape().elements() / weight.shape().get(0);
  }

  /**
   * {@return what a run of a graph without choices takes}
   *
   * @throws IllegalStateException where it depends on a path
   */
  public long count() {
    if (alternatives.length > 0) {
      throw new IllegalStateException("what a run takes depends on its path");
    }
    return always;
  }

  /**
   * {@return this and so many runs of another graph without choices}
   *
   * @param runs how many
   * @param other of the other graph
   */
  public MultiplyAdds plus(int runs, MultiplyAdds other) {
    return new MultiplyAdds(always + runs * other.count(), alternatives);
  }

  /**
   * {@return so many runs}
   *
   * @param runs how many
   */
  public MultiplyAdds times(int runs) {
    long[][] multiplied = new long[alternatives.length][];
    for (int l = 0; l < multiplied.length; l++) {
      multiplied[l] = Arrays.stream(alternatives[l]).map(macs -> macs * runs).toArray();
    }
    return new MultiplyAdds(always * runs, multiplied);
  }

  /**
   * {@return what a run takes}
   *
   * @param path one alternative of each choice
   */
  public long of(int[] path) {
    long sum = always;
    for (int l = 0; l < alternatives.length; l++) {
      sum += alternatives[l][path[l]];
    }
    return sum;
  }

  /**
   * {@return what a run takes on average over all paths}
   *
   * @param allowed which alternatives each choice may take, at least one each
   */
  public double mean(boolean[][] allowed) {
    double sum = always;
    for (int l = 0; l < alternatives.length; l++) {
      double layer = 0;
      int open = 0;
      for (int k = 0; k < alternatives[l].length; k++) {
        if (allowed[l][k]) {
          layer += alternatives[l][k];
          open++;
        }
      }
      sum += layer / open;
    }
    return sum;
  }
}
