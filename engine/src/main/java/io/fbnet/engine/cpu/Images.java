package io.fbnet.engine.cpu;

import java.lang.foreign.MemorySegment;

/**
 * Where a stage finds the images of a value: all of them in one place, or those of the chunk that a
 * thread works on in a place of its own.
 */
final class Images {
  /** Bytes of one image. */
  final long bytes;

  private final boolean local;
  private final MemorySegment[] places;

  private Images(long bytes, boolean local, MemorySegment... places) {
    this.bytes = bytes;
    this.local = local;
    this.places = places;
  }

  /** All images, one after the other. */
  static Images whole(MemorySegment place, int batch) {
    return new Images(place.byteSize() / batch, false, place);
  }

  /** Each thread's chunk. */
  static Images local(MemorySegment[] places, long bytes) {
    return new Images(bytes, true, places);
  }

  /** What is the same for all images. */
  static Images common(MemorySegment place) {
    return new Images(0, false, place);
  }

  /** Where a thread finds its images. */
  MemorySegment place(int thread) {
    return places[local ? thread : 0];
  }

  /** The offset of an image within {@link #place}, for the chunk that starts at {@code from}. */
  long at(int image, int from) {
    return (local ? image - from : image) * bytes;
  }
}
