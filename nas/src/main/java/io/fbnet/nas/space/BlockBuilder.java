package io.fbnet.nas.space;

import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.Value;

/**
 * What a {@link Block} builds itself with. Names are those of its parts, such as {@code expand};
 * the builder puts the layer and the block before them.
 */
public interface BlockBuilder {
  /** The graph, for every operation that is not named here. */
  GraphBuilder graph();

  /** The name of a part in the whole network, for parameters that the block declares itself. */
  String name(String part);

  /** Whether the space wants the first 1x1 convolution of a block even at expansion 1. */
  boolean alwaysPw();

  /**
   * A convolution without bias, [N,C,H,W] to [N, out, ceil(H / stride), ceil(W / stride)], its
   * weight normal with variance 2 / fan-out.
   *
   * @param kernel rows and columns, odd
   * @param groups of channels that do not see each other; C makes it depthwise
   */
  Value convolution(String part, Value x, int out, int kernel, int stride, int groups);

  /** Batch norm, then ReLU if asked. */
  Value norm(String part, Value x, boolean relu);
}
