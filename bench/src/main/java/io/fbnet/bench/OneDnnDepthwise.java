package io.fbnet.bench;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.fbnet.foreign.Dnnl;
import io.fbnet.foreign.DnnlDescriptor;
import io.fbnet.foreign.DnnlPrimitive;
import io.fbnet.foreign.DnnlPrimitive.Argument;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Random;

/**
 * A depthwise convolution or one of its gradients as oneDNN's own primitive, on its own threads,
 * with images and weights in the formats it likes best: nothing is packed, which ours does.
 */
final class OneDnnDepthwise implements AutoCloseable {
  private static final int AVX512 = 0x20;

  private final Dnnl dnnl = Dnnl.open(1);
  private final Arena arena = Arena.ofShared();
  private final int threads;
  private final DnnlPrimitive primitive;

  OneDnnDepthwise(
      String pass, int batch, int channels, int size, int kernel, int stride, int threads) {
    this.threads = threads;
    Dnnl.useThreads(threads);
    int out = (size + stride - 1) / stride;
    int low = kernel / 2;
    int high = (out - 1) * stride + kernel - size - low;
    Dnnl.Window window = new Dnnl.Window(stride, low, high, high);
    boolean wide = (dnnl.instructionSet() & AVX512) != 0;
    Dnnl.Tag blocks = wide ? Dnnl.Tag.CHANNELS_16 : Dnnl.Tag.CHANNELS_8;
    Dnnl.Type type = Dnnl.Type.F32;
    try (DnnlDescriptor x = dnnl.descriptor(type, blocks, batch, channels, size, size);
        DnnlDescriptor y = dnnl.descriptor(type, blocks, batch, channels, out, out);
        DnnlDescriptor w = dnnl.descriptor(type, Dnnl.Tag.ANY, channels, 1, 1, kernel, kernel)) {
      primitive =
          switch (pass) {
            case "forward" -> dnnl.convolutionForward(x, w, y, window);
            case "data gradient" -> dnnl.convolutionBackwardData(x, w, y, window);
            case "weight gradient" -> dnnl.convolutionBackwardWeights(x, w, w, y, window);
            default -> throw new IllegalArgumentException("there is no pass " + pass);
          };
    }
    Argument[] arguments =
        switch (pass) {
          case "forward" -> new Argument[] {Argument.SRC, Argument.WEIGHTS, Argument.DST};
          case "data gradient" ->
              new Argument[] {Argument.DIFF_DST, Argument.WEIGHTS, Argument.DIFF_SRC};
          default -> new Argument[] {Argument.SRC, Argument.DIFF_DST, Argument.DIFF_WEIGHTS};
        };
    for (Argument argument : arguments) {
      try (DnnlDescriptor format = primitive.format(argument)) {
        primitive.bind(argument, random(format.bytes()));
      }
    }
    if (primitive.scratchBytes() > 0) {
      primitive.bind(Argument.SCRATCHPAD, arena.allocate(primitive.scratchBytes(), 64));
    }
  }

  private MemorySegment random(long bytes) {
    MemorySegment numbers = arena.allocate(bytes, 64);
    Random random = new Random(bytes);
    for (long i = 0; i < bytes / Float.BYTES; i++) {
      numbers.setAtIndex(JAVA_FLOAT, i, (float) random.nextGaussian());
    }
    return numbers;
  }

  void run() {
    Dnnl.useThreads(threads);
    primitive.execute();
  }

  @Override
  public void close() {
    primitive.close();
    dnnl.close();
    arena.close();
  }
}
