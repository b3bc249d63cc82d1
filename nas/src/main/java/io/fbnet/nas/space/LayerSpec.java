package io.fbnet.nas.space;

/**
 * The place of one searchable layer: what goes in and what must come out, whichever block is
 * chosen.
 *
 * @param index from 0
 * @param stage from 0
 * @param first whether it is the first of its stage
 * @param inChannels channels of the input
 * @param outChannels channels of the output
 * @param stride of the depthwise convolution
 * @param inHeight rows of the input
 * @param inWidth columns of the input
 * @param outHeight rows of the output, ceil(inHeight / stride)
 * @param outWidth columns of the output, ceil(inWidth / stride)
 */
public record LayerSpec(
    int index,
    int stage,
    boolean first,
    int inChannels,
    int outChannels,
    int stride,
    int inHeight,
    int inWidth,
    int outHeight,
    int outWidth) {

  /**
   * {@return whether the output has the input's shape} Skip is then the identity, others add their
   * input.
   */
  public boolean keepsShape() {
    return stride == 1 && inChannels == outChannels;
  }

  /** {@return the name that tables and complaints give this layer: L1, L2 and so on} */
  public String name() {
    return "L" + (index + 1);
  }
}
