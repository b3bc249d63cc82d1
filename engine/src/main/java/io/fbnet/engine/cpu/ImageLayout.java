package io.fbnet.engine.cpu;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import io.fbnet.engine.graph.Shape;
import java.lang.foreign.MemorySegment;

/**
 * Images in blocks of channels: [N, ceil(C / lanes), H, W, lanes]. Lanes beyond the last channel
 * hold zeros, and every kernel keeps them so.
 *
 * @param elementBytes 4 for f32, 2 for bf16
 */
record ImageLayout(int batch, int channels, int height, int width, int lanes, int elementBytes) {
  static ImageLayout of(Shape shape, Loops loops) {
    return new ImageLayout(
        shape.get(0),
        shape.get(1),
        shape.get(2),
        shape.get(3),
        loops.lanes(),
        loops.elementBytes());
  }

  /** Blocks of channels. */
  int blocks() {
    return (channels + lanes - 1) / lanes;
  }

  /** Channels, rounded up to whole blocks. */
  int paddedChannels() {
    return blocks() * lanes;
  }

  /** Pixels of a plane. */
  int pixels() {
    return height * width;
  }

  /** Bytes of one block of one image. */
  long rowBytes() {
    return (long) elementBytes * lanes * pixels();
  }

  /** Rows: blocks of all images. */
  int rows() {
    return batch * blocks();
  }

  long bytes() {
    return rows() * rowBytes();
  }

  private boolean bf16() {
    return elementBytes == Short.BYTES;
  }

  /** Copies from row-major N, C, H, W of f32. */
  void pack(MemorySegment plain, MemorySegment blocked) {
    for (long n = 0; n < batch; n++) {
      for (long c = 0; c < channels; c++) {
        long from = (n * channels + c) * pixels();
        long to = (n * blocks() + c / lanes) * pixels() * lanes + c % lanes;
        for (long p = 0; p < pixels(); p++) {
          float v = plain.getAtIndex(JAVA_FLOAT, from + p);
          if (bf16()) {
            blocked.setAtIndex(JAVA_SHORT, to + p * lanes, Bf16.round(v));
          } else {
            blocked.setAtIndex(JAVA_FLOAT, to + p * lanes, v);
          }
        }
      }
    }
  }

  /** Copies to row-major N, C, H, W of f32. */
  void unpack(MemorySegment blocked, MemorySegment plain) {
    for (long n = 0; n < batch; n++) {
      for (long c = 0; c < channels; c++) {
        long to = (n * channels + c) * pixels();
        long from = (n * blocks() + c / lanes) * pixels() * lanes + c % lanes;
        for (long p = 0; p < pixels(); p++) {
          long at = from + p * lanes;
          float v =
              bf16()
                  ? Bf16.widen(blocked.getAtIndex(JAVA_SHORT, at))
                  : blocked.getAtIndex(JAVA_FLOAT, at);
          plain.setAtIndex(JAVA_FLOAT, to + p, v);
        }
      }
    }
  }
}
