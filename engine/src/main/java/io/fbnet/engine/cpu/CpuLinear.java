package io.fbnet.engine.cpu;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Value;
import io.fbnet.foreign.Dnnl;
import io.fbnet.foreign.DnnlDescriptor;
import io.fbnet.foreign.DnnlPrimitive;
import io.fbnet.foreign.DnnlPrimitive.Argument;
import java.lang.foreign.MemorySegment;
import java.util.function.Function;

/** The fully connected layer as three matrix products. */
final class CpuLinear {
  private CpuLinear() {}

  private record Product(DnnlPrimitive primitive, Runnable after) implements Kernel {
    @Override
    public void launch() {
      primitive.execute();
      after.run();
    }

    @Override
    public void close() {
      primitive.close();
    }
  }

  /** c[rows, columns] = a b; a transposed operand is stored the other way round. */
  private static DnnlPrimitive product(
      CpuContext context,
      int rows,
      int inner,
      int columns,
      boolean transposeA,
      boolean transposeB,
      MemorySegment a,
      MemorySegment b,
      MemorySegment c) {
    Dnnl dnnl = context.dnnl;
    Dnnl.Tag tagA = transposeA ? Dnnl.Tag.BA : Dnnl.Tag.AB;
    Dnnl.Tag tagB = transposeB ? Dnnl.Tag.BA : Dnnl.Tag.AB;
    try (DnnlDescriptor da = dnnl.descriptor(Dnnl.Type.F32, tagA, rows, inner);
        DnnlDescriptor db = dnnl.descriptor(Dnnl.Type.F32, tagB, inner, columns);
        DnnlDescriptor dc = dnnl.descriptor(Dnnl.Type.F32, Dnnl.Tag.AB, rows, columns)) {
      DnnlPrimitive p = dnnl.matmul(da, db, dc);
      context.noteImplementation(
          "product " + rows + "x" + inner + "x" + columns, p.implementation(), false);
      p.bind(Argument.SRC, a).bind(Argument.WEIGHTS, b).bind(Argument.DST, c);
      return context.withScratch(p, 0);
    }
  }

  static Kernel forward(CpuContext context, Op.Linear l, Function<Value, MemorySegment> m) {
    int n = l.x().shape().get(0);
    int c = l.x().shape().get(1);
    int o = l.y().shape().get(1);
    MemorySegment y = m.apply(l.y());
    MemorySegment bias = m.apply(l.b());
    DnnlPrimitive p = product(context, n, c, o, false, true, m.apply(l.x()), m.apply(l.w()), y);
    return new Product(
        p,
        () -> {
          for (long i = 0; i < (long) n * o; i++) {
            float v = y.getAtIndex(JAVA_FLOAT, i) + bias.getAtIndex(JAVA_FLOAT, i % o);
            y.setAtIndex(JAVA_FLOAT, i, v);
          }
        });
  }

  static Kernel backwardData(
      CpuContext context, Op.LinearBackwardData l, Function<Value, MemorySegment> m) {
    int n = l.dx().shape().get(0);
    int c = l.dx().shape().get(1);
    int o = l.dy().shape().get(1);
    DnnlPrimitive p =
        product(context, n, o, c, false, false, m.apply(l.dy()), m.apply(l.w()), m.apply(l.dx()));
    return new Product(p, () -> {});
  }

  static Kernel backwardWeights(
      CpuContext context, Op.LinearBackwardWeights l, Function<Value, MemorySegment> m) {
    int n = l.x().shape().get(0);
    int c = l.x().shape().get(1);
    int o = l.dy().shape().get(1);
    MemorySegment dy = m.apply(l.dy());
    MemorySegment db = m.apply(l.db());
    DnnlPrimitive p = product(context, o, n, c, true, false, dy, m.apply(l.x()), m.apply(l.dw()));
    return new Product(
        p,
        () -> {
          for (long i = 0; i < o; i++) {
            double total = 0;
            for (long r = 0; r < n; r++) {
              total += dy.getAtIndex(JAVA_FLOAT, r * o + i);
            }
            db.setAtIndex(JAVA_FLOAT, i, (float) total);
          }
        });
  }
}
