package io.fbnet.engine.cpu;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Value;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.function.Function;

/** Channel shuffle and global pooling. */
final class CpuImages {
  private CpuImages() {}

  static Kernel channelShuffle(
      CpuContext context, Op.ChannelShuffle s, Function<Value, MemorySegment> m) {
    ImageLayout layout = context.layout(s.x());
    MemorySegment x = m.apply(s.x());
    MemorySegment y = m.apply(s.y());
    int lanes = layout.lanes();
    int channels = layout.channels();
    // For each channel written, where its first pixel lies within an image, in elements.
    long[] source = new long[layout.paddedChannels()];
    Arrays.fill(source, -1);
    for (int c = 0; c < channels; c++) {
      int from = c % s.groups() * (channels / s.groups()) + c / s.groups();
      source[c] = (long) from / lanes * layout.pixels() * lanes + from % lanes;
    }
    long image = (long) layout.blocks() * layout.pixels() * lanes;
    CpuContext.Body body =
        (first, last, thread) -> {
          for (int r = first; r < last; r++) {
            long base = r / layout.blocks() * image;
            int channel = r % layout.blocks() * lanes;
            long to = (long) r * layout.pixels() * lanes;
            for (int i = 0; i < lanes; i++) {
              long from = source[channel + i];
              copyLane(x, from < 0 ? -1 : base + from, y, to + i, layout.pixels(), lanes);
            }
          }
        };
    return () -> context.parallel(layout.rows(), layout.rowBytes(), body);
  }

  private static void copyLane(
      MemorySegment x, long from, MemorySegment y, long to, int pixels, int lanes) {
    for (long p = 0; p < pixels; p++) {
      float v = from < 0 ? 0 : x.getAtIndex(JAVA_FLOAT, from + p * lanes);
      y.setAtIndex(JAVA_FLOAT, to + p * lanes, v);
    }
  }

  static Kernel globalPool(CpuContext context, Op.GlobalPool p, Function<Value, MemorySegment> m) {
    ImageLayout layout = context.layout(p.x());
    MemorySegment x = m.apply(p.x());
    MemorySegment y = m.apply(p.y());
    int lanes = layout.lanes();
    float[][] acc = new float[context.team.threads()][lanes];
    CpuContext.Body body =
        (from, to, thread) -> {
          for (int r = from; r < to; r++) {
            context.loops.pixelSum(x, r * layout.rowBytes(), layout.pixels(), acc[thread]);
            int first = r % layout.blocks() * lanes;
            long at = (long) r / layout.blocks() * layout.channels() + first;
            for (int i = 0; i < lanes && first + i < layout.channels(); i++) {
              y.setAtIndex(JAVA_FLOAT, at + i, acc[thread][i] / layout.pixels());
            }
          }
        };
    return () -> context.parallel(layout.rows(), layout.rowBytes(), body);
  }

  static Kernel globalPoolBackward(
      CpuContext context, Op.GlobalPoolBackward p, Function<Value, MemorySegment> m) {
    ImageLayout layout = context.layout(p.dx());
    MemorySegment dy = m.apply(p.dy());
    MemorySegment dx = m.apply(p.dx());
    int lanes = layout.lanes();
    float[][] values = new float[context.team.threads()][lanes];
    CpuContext.Body body =
        (from, to, thread) -> {
          for (int r = from; r < to; r++) {
            int first = r % layout.blocks() * lanes;
            long at = (long) r / layout.blocks() * layout.channels() + first;
            for (int i = 0; i < lanes; i++) {
              values[thread][i] =
                  first + i < layout.channels()
                      ? dy.getAtIndex(JAVA_FLOAT, at + i) / layout.pixels()
                      : 0;
            }
            context.loops.pixelFill(dx, r * layout.rowBytes(), layout.pixels(), values[thread]);
          }
        };
    return () -> context.parallel(layout.rows(), layout.rowBytes(), body);
  }
}
