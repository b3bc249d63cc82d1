package io.fbnet.nas.space;

import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.Value;

/**
 * What a {@link Block} builds itself with. Names are those of its parts, such as {@code expand};
 * the builder puts the layer and the block before them.
 */
public interface BlockBuilder {
  /** {@return the graph, for every operation that is not named here} */
  GraphBuilder graph();

  /**
   * {@return the name of a part in the whole network, for parameters that the block declares
   * itself}
   *
   * @param part its name within the block, such as {@code expand}
   */
  String name(String part);

  /**
   * {@return the set that parameters belong to which the block declares itself and SGD trains}
   * Where paths train a supernet, each block in its place has one of its own.
   */
  String weights();

  /** {@return whether the space wants the first 1x1 convolution of a block even at expansion 1} */
  boolean alwaysPw();

  /**
   * A convolution without bias, [N,C,H,W] to [N, out, ceil(H / stride), ceil(W / stride)], its
   * weight normal with variance 2 / fan-out.
   *
   * @param part its name within the block
   * @param x its input, f32 [N,C,H,W]
   * @param out channels of the output, divisible by {@code groups} like C
   * @param kernel rows and columns, odd
   * @param stride in both directions
   * @param groups of channels that do not see each other; C makes it depthwise
   * @return its output, f32
   */
  Value convolution(String part, Value x, int out, int kernel, int stride, int groups);

  /**
   * Batch norm, then ReLU if asked.
   *
   * @param part its name within the block
   * @param x its input, f32 [N,C,H,W]
   * @param relu whether a ReLU follows
   * @return its output, of the same shape
   */
  Value norm(String part, Value x, boolean relu);

  /**
   * Batch norm, then an activation.
   *
   * @param part its name within the block
   * @param x its input, f32 [N,C,H,W]
   * @param activation what follows
   * @return its output, of the same shape
   */
  Value norm(String part, Value x, Activation activation);

  /**
   * Squeeze-and-excitation (arXiv 1709.01507) as MobileNetV3 has it: each channel of an image times
   * a number from 0 to 1, which two linear layers make of the means of all its channels, by way of
   * a quarter of them, a ReLU and a hard sigmoid.
   *
   * @param part its name within the block
   * @param x its input, f32 [N,C,H,W]
   * @return its output, of the same shape
   */
  Value squeezeAndExcitation(String part, Value x);
}
