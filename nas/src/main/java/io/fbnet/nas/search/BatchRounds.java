package io.fbnet.nas.search;

import io.fbnet.nas.data.Batch;
import io.fbnet.nas.data.BatchLoader;

/**
 * Batches of a loader one after the other, round and round, from any of them on. Where a round
 * begins the loader takes every batch back, so none may still be on its way to a device.
 */
final class BatchRounds implements AutoCloseable {
  private final BatchLoader loader;
  private long next = -1;

  BatchRounds(BatchLoader loader) {
    this.loader = loader;
  }

  /**
   * A batch, which the caller releases.
   *
   * @param number from 0; the one after the last that was taken costs least
   */
  Batch take(long number) {
    int batches = loader.batches();
    if (number != next || number % batches == 0) {
      loader.start(Math.toIntExact(number / batches), Math.toIntExact(number % batches));
    }
    next = number + 1;
    return loader.next();
  }

  @Override
  public void close() {
    loader.close();
  }
}
