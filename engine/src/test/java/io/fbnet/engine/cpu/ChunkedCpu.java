package io.fbnet.engine.cpu;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.backend.Precision;

/** The CPU back end with chunks of a chosen size, for tests of other packages. */
public final class ChunkedCpu {
  private ChunkedCpu() {}

  /**
   * {@return the back end}
   *
   * @param chunkBytes of images that a thread works on at a time: 1 for one image
   */
  public static Backend open(int threads, Precision precision, long chunkBytes) {
    return CpuBackend.openChunked(threads, precision, chunkBytes);
  }
}
