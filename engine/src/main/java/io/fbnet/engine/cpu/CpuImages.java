package io.fbnet.engine.cpu;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import io.fbnet.engine.graph.Op;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/** Channel shuffle and global pooling. */
final class CpuImages {
  private CpuImages() {}

  static Piece channelShuffle(PieceMaker maker, Op.ChannelShuffle s) {
    ImageLayout layout = maker.context().layout(s.x());
    Images x = maker.images().apply(s.x());
    Images y = maker.images().apply(s.y());
    int lanes = layout.lanes();
    int channels = layout.channels();
    // For each channel written, where its first pixel lies within an image, in bytes.
    long[] source = new long[layout.paddedChannels()];
    Arrays.fill(source, -1);
    for (int c = 0; c < channels; c++) {
      int from = c % s.groups() * (channels / s.groups()) + c / s.groups();
      source[c] = from / lanes * layout.rowBytes() + (long) from % lanes * layout.elementBytes();
    }
    return new Piece.ByBlock(layout) {
      @Override
      void blocks(int image, int first, int last, int from, int thread) {
        for (int b = first; b < last; b++) {
          long to = y.at(image, from) + b * layout.rowBytes();
          for (int i = 0; i < lanes; i++) {
            long lane = source[b * lanes + i];
            copyLane(
                x.place(thread),
                lane < 0 ? -1 : x.at(image, from) + lane,
                y.place(thread),
                to + (long) i * layout.elementBytes(),
                layout);
          }
        }
      }
    };
  }

  private static void copyLane(
      MemorySegment x, long from, MemorySegment y, long to, ImageLayout layout) {
    long step = (long) layout.lanes() * layout.elementBytes();
    long bytes = layout.pixels() * step;
    if (layout.elementBytes() == Short.BYTES) {
      for (long o = 0; o < bytes; o += step) {
        y.set(JAVA_SHORT, to + o, from < 0 ? 0 : x.get(JAVA_SHORT, from + o));
      }
    } else {
      for (long o = 0; o < bytes; o += step) {
        y.set(JAVA_FLOAT, to + o, from < 0 ? 0 : x.get(JAVA_FLOAT, from + o));
      }
    }
  }

  static Piece globalPool(PieceMaker maker, Op.GlobalPool p) {
    Images x = maker.images().apply(p.x());
    MemorySegment y = maker.memory().apply(p.y());
    Loops loops = maker.context().imageLoops;
    float[][] acc = new float[maker.context().team.threads()][loops.lanes()];
    return new Piece.ByBlock(maker.context().layout(p.x())) {
      @Override
      void blocks(int image, int first, int last, int from, int thread) {
        float[] sum = acc[thread];
        for (int b = first; b < last; b++) {
          long at = x.at(image, from) + b * layout.rowBytes();
          loops.pixelSum(x.place(thread), at, layout.pixels(), sum);
          int channel = b * layout.lanes();
          long to = (long) image * layout.channels() + channel;
          for (int i = 0; i < layout.lanes() && channel + i < layout.channels(); i++) {
            y.setAtIndex(JAVA_FLOAT, to + i, sum[i] / layout.pixels());
          }
        }
      }
    };
  }

  static Piece globalPoolBackward(PieceMaker maker, Op.GlobalPoolBackward p) {
    MemorySegment dy = maker.memory().apply(p.dy());
    Images dx = maker.images().apply(p.dx());
    Loops loops = maker.context().imageLoops;
    float[][] values = new float[maker.context().team.threads()][loops.lanes()];
    return new Piece.ByBlock(maker.context().layout(p.dx())) {
      @Override
      void blocks(int image, int first, int last, int from, int thread) {
        float[] value = values[thread];
        for (int b = first; b < last; b++) {
          int channel = b * layout.lanes();
          long at = (long) image * layout.channels() + channel;
          for (int i = 0; i < layout.lanes(); i++) {
            value[i] =
                channel + i < layout.channels()
                    ? dy.getAtIndex(JAVA_FLOAT, at + i) / layout.pixels()
                    : 0;
          }
          loops.pixelFill(
              dx.place(thread), dx.at(image, from) + b * layout.rowBytes(), layout.pixels(), value);
        }
      }
    };
  }
}
