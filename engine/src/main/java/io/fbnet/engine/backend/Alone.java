package io.fbnet.engine.backend;

import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.List;
import java.util.Objects;

/** One rank: nothing is to be exchanged, however many processes the machine has. */
record Alone(int localRank, int localSize) implements Communicator {
  static final Alone INSTANCE = new Alone(0, 1);

  private static final Duration FOR_EVER = Duration.ofDays(100_000);

  @Override
  public int rank() {
    return 0;
  }

  @Override
  public int size() {
    return 1;
  }

  /** Nobody can keep it waiting. */
  @Override
  public Duration patience() {
    return FOR_EVER;
  }

  @Override
  public void mean(MemorySegment elements, int elementBytes) {
    if (elementBytes != Float.BYTES && elementBytes != Double.BYTES
        || elements.byteSize() % elementBytes != 0) {
      throw new IllegalArgumentException(
          elements.byteSize() + " bytes are no elements of " + elementBytes);
    }
  }

  @Override
  public void broadcast(MemorySegment bytes, int root) {
    Objects.requireNonNull(bytes, "no memory");
    if (root != 0) {
      throw new IllegalArgumentException("there is no rank " + root + " among 1");
    }
  }

  @Override
  public List<byte[]> gather(byte[] bytes) {
    return List.of(bytes.clone());
  }

  @Override
  public void barrier() {}

  @Override
  public void close() {}
}
