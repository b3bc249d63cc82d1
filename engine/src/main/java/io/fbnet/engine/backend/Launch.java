package io.fbnet.engine.backend;

import java.util.List;

/**
 * One call of the device within a step: a kernel of ours, or a function of a library.
 *
 * @param family what it is for
 * @param call the kernel's name, or the library's function with its types and transposes
 * @param grid blocks; null where the library chooses
 * @param block threads of a block; null where the library chooses
 * @param sizes of a library's call: a product's rows, columns, inner size and batch, or a
 *     convolution's {@code n c h w k oh ow kernel stride groups}; empty for kernels
 * @param readBytes distinct bytes that it reads
 * @param writtenBytes bytes that it writes
 * @param elements loaded and stored, those that many threads load counted more than once
 * @param flops two a multiply-add of convolutions and products; passes over elements count none
 * @param rounds loads of one thread that wait for each other
 */
public record Launch(
    Family family,
    String call,
    Extent grid,
    Extent block,
    List<Long> sizes,
    long readBytes,
    long writtenBytes,
    long elements,
    long flops,
    long rounds) {
  /**
   * Blocks of a grid or threads of a block.
   *
   * @param x fastest
   * @param y next
   * @param z slowest
   */
  public record Extent(int x, int y, int z) {
    /** {@return how many blocks or threads} */
    public long count() {
      return (long) x * y * z;
    }

    @Override
    public String toString() {
      return x + "x" + y + "x" + z;
    }
  }

  /** What bounds the time of a call. */
  public enum Kind {
    /** Goes over elements, which all threads load side by side. */
    PASS,
    /** Adds up parts of its input, a block each. */
    REDUCTION,
    /** Adds up the parts. */
    END,
    /** A depthwise convolution or its gradient in the images. */
    DEPTHWISE,
    /** A depthwise convolution that normalises what it loads. */
    NORMALISED_DEPTHWISE,
    /** Parts of the gradient of a depthwise convolution's weights. */
    DEPTHWISE_WEIGHTS,
    /** A product by a library. */
    PRODUCT,
    /** A product by a kernel of ours. */
    OWN_PRODUCT,
    /** A convolution by a library. */
    CONVOLUTION
  }

  /** What a call is for. */
  public enum Family {
    /** A 1x1 convolution or its gradient in the images. */
    POINTWISE("1x1 forward and data gradient", Kind.PRODUCT),
    /** 1x1 convolutions, or their gradients in the images, with passes of the norms around them. */
    BANK_PRODUCT("1x1 with norms", Kind.OWN_PRODUCT),
    /** The gradient of a 1x1 convolution's weights. */
    POINTWISE_WEIGHTS("dense 1x1 weight gradient", Kind.PRODUCT),
    /** The same in groups. */
    GROUPED_WEIGHTS("grouped 1x1 weight gradient", Kind.PRODUCT),
    /** The same in groups, by a kernel of ours. */
    OWN_GROUPED_WEIGHTS("grouped 1x1 weight gradient, ours", Kind.OWN_PRODUCT),
    /** The sum of such a gradient's parts. */
    WEIGHTS_END("1x1 weight gradient, end", Kind.END),
    /** A depthwise convolution. */
    DEPTHWISE_FORWARD("depthwise forward", Kind.DEPTHWISE),
    /** A depthwise convolution that normalises what it loads. */
    DEPTHWISE_NORMALISED("depthwise forward, normalising", Kind.NORMALISED_DEPTHWISE),
    /** Its gradient in the images. */
    DEPTHWISE_DATA("depthwise data gradient", Kind.DEPTHWISE),
    /** Its gradient in the weights. */
    DEPTHWISE_WEIGHTS("depthwise weight gradient", Kind.DEPTHWISE_WEIGHTS),
    /** The sum of that gradient's parts. */
    DEPTHWISE_WEIGHTS_END("depthwise weight gradient, end", Kind.END),
    /** Sums of a batch norm's input. */
    NORM_STATISTICS("BN statistics", Kind.REDUCTION),
    /** The end of those sums and of those of the gradient. */
    NORM_END("BN ends", Kind.END),
    /** Normalising. */
    NORM_APPLY("BN apply", Kind.PASS),
    /** Sums of a batch norm's gradient. */
    NORM_GRADIENT_SUMS("BN gradient sums", Kind.REDUCTION),
    /** A batch norm's gradient in its input. */
    NORM_GRADIENT_APPLY("BN gradient apply", Kind.PASS),
    /** Passes over images that compute little. */
    MIX("casts, sums, weighted sums, shuffles", Kind.PASS),
    /** Sums of the gradient of mixing coefficients. */
    COEFFICIENTS("gradient of coefficients", Kind.REDUCTION),
    /** The end of those sums. */
    COEFFICIENTS_END("gradient of coefficients, end", Kind.END),
    /** Convolutions that are neither 1x1 nor depthwise. */
    CONVOLUTION("other convolutions", Kind.CONVOLUTION),
    /** A product of the classifier. */
    CLASSIFIER("classifier", Kind.PRODUCT),
    /** Losses, theta, updates. */
    VECTORS("losses, theta, updates", Kind.PASS);

    private final String title;
    private final Kind kind;

    Family(String title, Kind kind) {
      this.title = title;
      this.kind = kind;
    }

    /** {@return its name in tables} */
    public String title() {
      return title;
    }

    /** {@return what bounds it} */
    public Kind kind() {
      return kind;
    }
  }
}
