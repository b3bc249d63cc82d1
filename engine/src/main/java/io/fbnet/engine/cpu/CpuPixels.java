package io.fbnet.engine.cpu;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import io.fbnet.engine.graph.Constants;
import io.fbnet.engine.graph.Op;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * Images made of bytes, a channel at a time, each byte looked up. The loops run over arrays that
 * stay in cache: element-wise access to a segment is several times slower.
 */
final class CpuPixels implements Piece {
  private final Images pixels;
  private final Images y;
  private final MemorySegment windows;
  private final boolean plain;
  private final ImageLayout layout;
  private final int height;
  private final int width;

  /** What each byte of a channel becomes. */
  private final float[][] table;

  private final byte[][] sources;
  private final float[][] targets;

  CpuPixels(PieceMaker maker, Op.NormaliseImages p) {
    pixels = maker.images().apply(p.pixels());
    y = maker.images().apply(p.y());
    windows = maker.memory().apply(p.windows());
    plain = maker.context().plain(p.y());
    layout = maker.context().layout(p.y());
    height = layout.height();
    width = layout.width();
    Constants all = p.table();
    table = new float[layout.channels()][Op.NormaliseImages.BYTES];
    for (int i = 0; i < all.size(); i++) {
      table[i / Op.NormaliseImages.BYTES][i % Op.NormaliseImages.BYTES] = all.get(i);
    }
    sources = new byte[maker.chunks().shares()][layout.pixels()];
    targets = new float[sources.length][layout.pixels()];
  }

  @Override
  public void images(int from, int to, int thread) {
    byte[] source = sources[thread];
    float[] target = targets[thread];
    for (int n = from; n < to; n++) {
      int down = windows.getAtIndex(JAVA_INT, 3L * n);
      int right = windows.getAtIndex(JAVA_INT, 3L * n + 1);
      boolean mirrored = windows.getAtIndex(JAVA_INT, 3L * n + 2) != 0;
      long at = y.at(n, from);
      if (!plain) {
        // Lanes beyond the last channel hold zeros.
        y.place(thread).asSlice(at, y.bytes).fill((byte) 0);
      }
      for (int c = 0; c < layout.channels(); c++) {
        long plane = pixels.at(n, from) + (long) c * source.length;
        MemorySegment.copy(pixels.place(thread), JAVA_BYTE, plane, source, 0, source.length);
        for (int i = 0; i < height; i++) {
          row(source, i + down, right, mirrored, table[c], target, i * width);
        }
        store(target, c, y.place(thread), at);
      }
    }
  }

  /** One row of a window, from row {@code i} of the image, to {@code to} and on. */
  private void row(
      byte[] source, int i, int right, boolean mirrored, float[] values, float[] target, int to) {
    if (i < 0 || i >= height) {
      Arrays.fill(target, to, to + width, values[0]);
      return;
    }
    int from = i * width + right;
    // The columns of the window that lie within the image.
    int first = Math.clamp(-(long) right, 0, width);
    int end = Math.clamp((long) width - right, first, width);
    if (mirrored) {
      int last = to + width - 1;
      for (int x = first; x < end; x++) {
        target[last - x] = values[source[from + x] & 255];
      }
      Arrays.fill(target, last - first + 1, to + width, values[0]);
      Arrays.fill(target, to, last - end + 1, values[0]);
    } else {
      for (int x = first; x < end; x++) {
        target[to + x] = values[source[from + x] & 255];
      }
      Arrays.fill(target, to, to + first, values[0]);
      Arrays.fill(target, to + end, to + width, values[0]);
    }
  }

  private void store(float[] values, int c, MemorySegment images, long at) {
    if (plain) {
      long plane = at + (long) c * values.length * Float.BYTES;
      MemorySegment.copy(values, 0, images, JAVA_FLOAT, plane, values.length);
      return;
    }
    int lanes = layout.lanes();
    long step = (long) lanes * layout.elementBytes();
    long to = at + c / lanes * layout.rowBytes() + (long) c % lanes * layout.elementBytes();
    for (float v : values) {
      if (layout.elementBytes() == Short.BYTES) {
        images.set(JAVA_SHORT, to, Bf16.round(v));
      } else {
        images.set(JAVA_FLOAT, to, v);
      }
      to += step;
    }
  }
}
