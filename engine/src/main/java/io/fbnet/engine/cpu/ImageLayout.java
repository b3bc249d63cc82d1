package io.fbnet.engine.cpu;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.fbnet.engine.graph.Shape;
import java.lang.foreign.MemorySegment;

/**
 * Images in blocks of channels: [N, ceil(C / lanes), H, W, lanes]. Lanes beyond the last channel
 * hold zeros, and every kernel keeps them so.
 */
record ImageLayout(int batch, int channels, int height, int width, int lanes) {
  static ImageLayout of(Shape shape, int lanes) {
    return new ImageLayout(shape.get(0), shape.get(1), shape.get(2), shape.get(3), lanes);
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
    return 4L * lanes * pixels();
  }

  /** Rows: blocks of all images. */
  int rows() {
    return batch * blocks();
  }

  long bytes() {
    return rows() * rowBytes();
  }

  /** Copies from row-major N, C, H, W. */
  void pack(MemorySegment plain, MemorySegment blocked) {
    for (long n = 0; n < batch; n++) {
      for (long c = 0; c < channels; c++) {
        long from = (n * channels + c) * pixels();
        long to = (n * blocks() + c / lanes) * pixels() * lanes + c % lanes;
        for (long p = 0; p < pixels(); p++) {
          blocked.setAtIndex(JAVA_FLOAT, to + p * lanes, plain.getAtIndex(JAVA_FLOAT, from + p));
        }
      }
    }
  }

  /** Copies to row-major N, C, H, W. */
  void unpack(MemorySegment blocked, MemorySegment plain) {
    for (long n = 0; n < batch; n++) {
      for (long c = 0; c < channels; c++) {
        long to = (n * channels + c) * pixels();
        long from = (n * blocks() + c / lanes) * pixels() * lanes + c % lanes;
        for (long p = 0; p < pixels(); p++) {
          plain.setAtIndex(JAVA_FLOAT, to + p, blocked.getAtIndex(JAVA_FLOAT, from + p * lanes));
        }
      }
    }
  }
}
