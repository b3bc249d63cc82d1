package io.fbnet.engine.cpu;

import io.fbnet.engine.graph.Shape;
import io.fbnet.foreign.DnnlDescriptor;
import io.fbnet.foreign.DnnlPrimitive;
import io.fbnet.foreign.DnnlPrimitive.Argument;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;

/**
 * One convolution's primitives, for every size of chunk of every share, all with one format of
 * weights. Convolutions of equal shapes share them, for they run one after the other: a supernet
 * has several times as many convolutions as shapes.
 */
final class ConvolutionPrimitives implements AutoCloseable {
  /** What is computed. */
  enum Kind {
    CONVOLUTION("convolution", Argument.WEIGHTS),
    DATA_GRADIENT("data gradient", Argument.WEIGHTS),
    WEIGHT_GRADIENT("weight gradient", Argument.DIFF_WEIGHTS);

    final String words;
    final Argument weights;

    Kind(String words, Argument weights) {
      this.words = words;
      this.weights = weights;
    }
  }

  /**
   * What primitives follow from.
   *
   * @param plain whether the images x lie in row-major order
   * @param wide channels that the primitive takes such images to have
   * @param sizes images of the chunks of each share
   */
  record Key(
      Kind kind,
      Shape x,
      Shape w,
      Shape y,
      int stride,
      int groups,
      boolean plain,
      int wide,
      List<Set<Integer>> sizes) {}

  /** Makes the primitive for a number of images. */
  interface Maker {
    DnnlPrimitive make(int images, DnnlDescriptor weights);
  }

  /** Bytes of the weights in the primitives' format. */
  final long weightBytes;

  /** Bytes of the weights in row-major order. */
  final long plainBytes;

  private final DnnlPrimitive[][] primitives;
  private final DnnlPrimitive reorder;
  private final List<DnnlPrimitive> owned = new ArrayList<>();

  /**
   * Makes them.
   *
   * @param any the weights in any format: the first primitive chooses one
   * @param plain the weights in row-major order
   */
  ConvolutionPrimitives(
      CpuContext context, Key key, DnnlDescriptor any, DnnlDescriptor plain, Maker maker) {
    int shares = key.sizes().size();
    primitives = new DnnlPrimitive[shares][key.x().get(0) + 1];
    DnnlDescriptor format = null;
    try {
      Map<Integer, DnnlPrimitive> made = new HashMap<>();
      for (int share = 0; share < shares; share++) {
        for (int size : key.sizes().get(share)) {
          DnnlPrimitive known = made.get(size);
          DnnlPrimitive primitive =
              known == null
                  ? own(maker.make(size, format == null ? any : format))
                  : own(known.another());
          format = format == null ? primitive.format(key.kind().weights) : format;
          made.put(size, primitive);
          primitives[share][size] = context.withScratch(primitive, share);
        }
      }
      weightBytes = format.bytes();
      plainBytes = plain.bytes();
      reorder = format.sameAs(plain) ? null : reorder(context, key, format, plain);
      context.noteImplementation(describe(key), owned.getFirst().implementation(), true);
    } catch (RuntimeException e) {
      close();
      throw e;
    } finally {
      if (format != null) {
        format.close();
      }
    }
  }

  private DnnlPrimitive own(DnnlPrimitive primitive) {
    owned.add(primitive);
    return primitive;
  }

  private DnnlPrimitive reorder(
      CpuContext context, Key key, DnnlDescriptor format, DnnlDescriptor plain) {
    boolean back = key.kind() == Kind.WEIGHT_GRADIENT;
    DnnlPrimitive made =
        own(back ? context.dnnl.reorder(format, plain) : context.dnnl.reorder(plain, format));
    return context.withScratch(made, 0);
  }

  private static String describe(Key key) {
    return String.format(
        Locale.ROOT,
        "%s %s -> %s k%d s%d g%d",
        key.kind().words,
        key.x(),
        key.y(),
        key.w().get(2),
        key.stride(),
        key.groups());
  }

  /** The primitive for a number of images, on the lane of a share. */
  DnnlPrimitive of(int share, int images) {
    return primitives[share][images];
  }

  /** Whether the primitives take the weights in row-major order. */
  boolean takesPlain() {
    return reorder == null;
  }

  /**
   * Brings weights from row-major order into the primitives' format, or gradients of weights back.
   */
  void reorder(MemorySegment from, MemorySegment to) {
    reorder.bind(Argument.SRC, from).bind(Argument.DST, to).execute();
  }

  @Override
  public void close() {
    owned.forEach(DnnlPrimitive::close);
  }
}
