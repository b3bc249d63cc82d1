package io.fbnet.nas.space;

import io.fbnet.engine.graph.Value;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A candidate block, named as every latency table names it: {@code k5_e3} is a 5x5 depthwise
 * convolution between 1x1 convolutions that widen and narrow the channels by 3, {@code k3_e1_g2}
 * one whose 1x1 convolutions have two groups, {@code k5_e6_se_hswish} one with
 * squeeze-and-excitation and hard swish in place of ReLU, as MobileNetV3 (arXiv 1905.02244),
 * FBNetV2 (2004.05565) and FBNetV3 (2006.02049) have them, {@code skip} nothing (or a 1x1
 * convolution where the shape changes).
 *
 * @param kernel height and width of the depthwise kernel, odd; 0 for skip
 * @param expansion inner channels divided by the block's input channels; 0 for skip
 * @param groups groups of both 1x1 convolutions; 0 for skip
 * @param squeeze whether the inner channels are weighed by squeeze-and-excitation
 * @param activation what follows its first two batch norms
 */
public record BlockType(
    int kernel, int expansion, int groups, boolean squeeze, Activation activation)
    implements Block {
  /** The block that does nothing where it can. */
  public static final BlockType SKIP = new BlockType(0, 0, 0);

  /** The nine candidates of the FBNet paper, in the order every table uses. */
  public static final List<Block> FBNET =
      List.of(
          new BlockType(3, 1, 1),
          new BlockType(3, 1, 2),
          new BlockType(3, 3, 1),
          new BlockType(3, 6, 1),
          new BlockType(5, 1, 1),
          new BlockType(5, 1, 2),
          new BlockType(5, 3, 1),
          new BlockType(5, 6, 1),
          SKIP);

  static final String SKIP_NAME = "skip";

  /** How the other names are put together, in words to show. */
  static final String FORM = "k<kernel>_e<expansion>[_g<groups>][_se][_swish|_hswish]";

  private static final Pattern NAME =
      Pattern.compile("k([1-9]\\d?)_e([1-9]\\d?)(?:_g([1-9]\\d?))?(_se)?(?:_(swish|hswish))?");

  /**
   * Checks the ranges.
   *
   * @throws IllegalArgumentException with a sentence to show, if the kernel is not 3, 5, 7, 9 or
   *     11, or expansion or groups not 1 to 16
   */
  public BlockType {
    boolean skip = kernel == 0 && expansion == 0 && groups == 0;
    if (!skip) {
      if (kernel < 3 || kernel > 11 || kernel % 2 == 0) {
        throw new IllegalArgumentException("a kernel is 3, 5, 7, 9 or 11, not " + kernel);
      }
      if (expansion < 1 || expansion > 16) {
        throw new IllegalArgumentException("an expansion is 1 to 16, not " + expansion);
      }
      if (groups < 1 || groups > 16) {
        throw new IllegalArgumentException("groups are 1 to 16, not " + groups);
      }
    }
  }

  /**
   * A block of the paper's: without squeeze-and-excitation, with ReLU.
   *
   * @param kernel height and width of the depthwise kernel
   * @param expansion inner channels divided by the block's input channels
   * @param groups groups of both 1x1 convolutions
   * @throws IllegalArgumentException with a sentence to show, if one is out of its range
   */
  public BlockType(int kernel, int expansion, int groups) {
    this(kernel, expansion, groups, false, Activation.RELU);
  }

  /** {@return whether it is built as the paper's blocks are, or skip} */
  public boolean isPlain() {
    return !squeeze && activation == Activation.RELU;
  }

  /**
   * Reads a name.
   *
   * @param name such as {@code k5_e3}, {@code k3_e1_g2} or {@code skip}
   * @return the block
   * @throws IllegalArgumentException with a sentence to show, if it is none
   */
  public static BlockType parse(String name) {
    if (name.equals(SKIP_NAME)) {
      return SKIP;
    }
    Matcher matcher = NAME.matcher(name);
    if (!matcher.matches()) {
      throw new IllegalArgumentException("'" + name + "' is no block");
    }
    int groups = matcher.group(3) == null ? 1 : Integer.parseInt(matcher.group(3));
    if (groups == 1 && matcher.group(3) != null) {
      throw new IllegalArgumentException(
          "'" + name + "' is written without '_g1', which is what no group means");
    }
    return new BlockType(
        Integer.parseInt(matcher.group(1)),
        Integer.parseInt(matcher.group(2)),
        groups,
        matcher.group(4) != null,
        matcher.group(5) == null ? Activation.RELU : Activation.parse(matcher.group(5)));
  }

  /** Whether a name has the form of a block of this kind. */
  static boolean isName(String name) {
    return name.equals(SKIP_NAME) || NAME.matcher(name).matches();
  }

  /** Groups of channels split every width evenly. */
  @Override
  public int divisor() {
    return Math.max(1, groups);
  }

  /**
   * 1x1 convolution, batch norm, activation; channel shuffle if grouped; depthwise, batch norm,
   * activation; squeeze-and-excitation if it has it; 1x1 convolution, batch norm; the input added
   * where the shape is kept, and no activation after that. Skip is the identity, or 1x1
   * convolution, batch norm, ReLU.
   */
  @Override
  public Value build(BlockBuilder b, LayerSpec layer, Value x) {
    int out = layer.outChannels();
    if (isSkip()) {
      return layer.keepsShape()
          ? x
          : b.norm("bn", b.convolution("conv", x, out, 1, layer.stride(), 1), true);
    }
    int inner = layer.inChannels() * expansion;
    Value y = x;
    if (b.alwaysPw() || expansion != 1) {
      y = b.norm("expand_bn", b.convolution("expand", y, inner, 1, 1, groups), activation);
      if (groups > 1) {
        y = b.graph().channelShuffle(y, groups);
      }
    }
    y = b.convolution("depthwise", y, inner, kernel, layer.stride(), inner);
    y = b.norm("depthwise_bn", y, activation);
    if (squeeze) {
      y = b.squeezeAndExcitation("se", y);
    }
    y = b.norm("project_bn", b.convolution("project", y, out, 1, 1, groups), false);
    return layer.keepsShape() ? b.graph().sum(List.of(x, y)) : y;
  }

  @Override
  public boolean isSkip() {
    return kernel == 0;
  }

  /** {@code skip} or {@code k<kernel>_e<expansion>[_g<groups>][_se][_swish|_hswish]}. */
  @Override
  public String name() {
    if (isSkip()) {
      return SKIP_NAME;
    }
    return "k"
        + kernel
        + "_e"
        + expansion
        + (groups > 1 ? "_g" + groups : "")
        + (squeeze ? "_se" : "")
        + (activation == Activation.RELU ? "" : "_" + activation);
  }

  @Override
  public String toString() {
    return name();
  }
}
