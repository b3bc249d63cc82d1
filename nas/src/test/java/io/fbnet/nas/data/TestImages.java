package io.fbnet.nas.data;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;

/** Small image sets and copies of batches for the tests of this package. */
final class TestImages {
  private TestImages() {}

  static List<String> classes(int count) {
    return IntStream.range(0, count).mapToObj(i -> "class" + i).toList();
  }

  /** A set of random pixels on the heap, its labels 0, 1, 2, ... in turn. */
  static ImageSet random(ImageShape shape, int size, int classes, long seed) {
    byte[] pixels = new byte[size * shape.elements()];
    new Random(seed).nextBytes(pixels);
    int[] labels = IntStream.range(0, size).map(i -> i % classes).toArray();
    return ImageSet.of("train", shape, MemorySegment.ofArray(pixels), labels, classes(classes));
  }

  static int[] all(ImageSet set) {
    return IntStream.range(0, set.size()).toArray();
  }

  static List<Byte> bytes(MemorySegment memory) {
    byte[] bytes = memory.toArray(JAVA_BYTE);
    return IntStream.range(0, bytes.length).mapToObj(i -> bytes[i]).toList();
  }

  /** What one batch held. */
  record Copy(
      int index,
      int count,
      List<Byte> images,
      List<Integer> windows,
      List<Integer> labels,
      List<Integer> numbers) {
    static Copy of(Batch batch) {
      return new Copy(
          batch.index(),
          batch.count(),
          bytes(batch.images()),
          IntStream.of(batch.windows().toArray(JAVA_INT)).boxed().toList(),
          IntStream.of(batch.labels().toArray(JAVA_INT)).boxed().toList(),
          IntStream.of(batch.imageNumbers()).boxed().toList());
    }
  }
}
