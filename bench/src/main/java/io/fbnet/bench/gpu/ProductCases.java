package io.fbnet.bench.gpu;

import io.fbnet.engine.graph.Autodiff;
import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.ParameterSpec.Initial;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * 1x1 convolutions of the ImageNet supernet, and the stem. The ceiling of their arithmetic is a
 * large square product through the same path: a 1x1 convolution of as many channels as pixels.
 */
final class ProductCases {
  private static final int BATCH = 64;
  private static final int SQUARE = 8192;
  private static final int SQUARE_SIDE = 32;

  private ProductCases() {}

  private record Convolution(int in, int out, int side, int kernel, int stride, int groups) {}

  private static final List<Convolution> CONVOLUTIONS =
      List.of(
          new Convolution(16, 96, 112, 1, 1, 1),
          new Convolution(24, 144, 56, 1, 1, 1),
          new Convolution(144, 24, 56, 1, 1, 1),
          new Convolution(24, 24, 56, 1, 1, 2),
          new Convolution(64, 384, 14, 1, 1, 1),
          new Convolution(384, 64, 14, 1, 1, 1),
          new Convolution(184, 1104, 7, 1, 1, 1),
          new Convolution(352, 1984, 7, 1, 1, 1),
          new Convolution(3, 16, 224, 3, 2, 1));

  /** The large square product. */
  static KernelCase square(boolean tiny) {
    int n = tiny ? 32 : SQUARE;
    int side = tiny ? 4 : SQUARE_SIDE;
    Convolution c = new Convolution(n, n, side, 1, 1, 1);
    return of(c, n / (side * side), "square product", Op.Convolution.class);
  }

  /** Every convolution and its gradients. */
  static List<KernelCase> all(boolean tiny) {
    List<KernelCase> cases = new ArrayList<>();
    for (Convolution full : CONVOLUTIONS) {
      Convolution c =
          tiny
              ? new Convolution(full.in, full.out, 6, full.kernel, full.stride, full.groups)
              : full;
      int batch = tiny ? 2 : BATCH;
      String name =
          String.format(
              Locale.ROOT,
              "convolution %dx%d %d to %d%s",
              c.kernel,
              c.kernel,
              c.in,
              c.out,
              c.groups > 1 ? " in " + c.groups + " groups" : "");
      cases.add(of(c, batch, name, Op.Convolution.class));
      if (c.kernel == 1) {
        cases.add(of(c, batch, name + ", gradient of images", Op.ConvolutionBackwardData.class));
      }
      cases.add(of(c, batch, name + ", gradient of weights", Op.ConvolutionBackwardWeights.class));
    }
    return cases;
  }

  private static KernelCase of(Convolution c, int batch, String name, Class<? extends Op> kind) {
    GraphBuilder b = new GraphBuilder();
    Value x = b.input("x", Type.F32, batch, c.in, c.side, c.side);
    Value w =
        b.parameter(
            "weights",
            "w",
            true,
            new Initial.Constant(1),
            c.out,
            c.in / c.groups,
            c.kernel,
            c.kernel);
    Value y = b.convolution(x, w, c.stride, c.groups);
    int side = y.shape().get(2);
    if (kind != Op.Convolution.class) {
      Value dy = b.input("dy", Type.F32, batch, c.out, side, side);
      Value wanted = kind == Op.ConvolutionBackwardData.class ? x : w;
      Autodiff.pullback(b, y, dy, List.of(wanted));
    }
    long weights = w.shape().elements();
    return new KernelCase(
        name,
        String.format(Locale.ROOT, "%dx%dx%dx%d", batch, c.in, c.side, c.side),
        KernelCase.only(b, kind),
        x.shape().elements() + y.shape().elements(),
        weights * Float.BYTES,
        2.0 * weights * batch * side * side);
  }
}
