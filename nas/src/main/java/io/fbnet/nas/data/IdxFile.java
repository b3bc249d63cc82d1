package io.fbnet.nas.data;

import io.fbnet.nas.UserException;
import java.nio.ByteBuffer;
import java.nio.file.Path;

/**
 * An IDX file of unsigned bytes, the format of MNIST and its kin: four bytes of magic (0, 0, 8,
 * number of dimensions), each dimension as a big-endian int, then the elements.
 */
final class IdxFile {
  private final int[] dimensions;
  private final byte[] content;
  private final int start;

  private IdxFile(int[] dimensions, byte[] content, int start) {
    this.dimensions = dimensions;
    this.content = content;
    this.start = start;
  }

  /**
   * Reads a file that may be gzipped.
   *
   * @param rank 3 for images, 1 for labels
   * @throws UserException exit code 3: wrong magic, another type or rank, wrong length
   */
  static IdxFile read(Path file, int rank) {
    return parse(FileContent.readInflated(file), file.toString(), rank);
  }

  static IdxFile parse(byte[] content, String name, int rank) {
    String kind = rank == 3 ? "images" : "labels";
    if (content.length < 4 + 4 * rank) {
      throw UserException.data("%s is truncated: it ends within its IDX header.", name);
    }
    ByteBuffer header = ByteBuffer.wrap(content);
    int magic = header.getInt();
    if (magic != (0x800 | rank)) {
      throw UserException.data(
          "%s does not begin as an IDX file of %s does (magic %08x, not %08x); name the file that"
              + " holds the %s.",
          name, kind, magic, 0x800 | rank, kind);
    }
    int[] dimensions = new int[rank];
    long elements = 1;
    for (int i = 0; i < rank; i++) {
      dimensions[i] = header.getInt();
      if (dimensions[i] < 0 || elements * dimensions[i] > Integer.MAX_VALUE) {
        throw UserException.data(
            "%s is corrupt: its header gives %d as a dimension.", name, dimensions[i]);
      }
      elements *= dimensions[i];
    }
    if (rank == 3 && elements == 0) {
      throw UserException.data("%s holds no images; fetch it again.", name);
    }
    int present = content.length - header.position();
    if (present != elements) {
      throw UserException.data(
          "%s is %s: its header promises %d bytes of %s and it holds %d; fetch it again.",
          name, present < elements ? "truncated" : "corrupt", elements, kind, present);
    }
    return new IdxFile(dimensions, content, header.position());
  }

  /** How many images or labels. */
  int count() {
    return dimensions[0];
  }

  int height() {
    return dimensions[1];
  }

  int width() {
    return dimensions[2];
  }

  /** Element {@code i} of all, 0 to 255. */
  int value(int i) {
    return content[start + i] & 255;
  }

  /** Copies elements from {@code from} on. */
  void copy(int from, byte[] target, int at, int length) {
    System.arraycopy(content, start + from, target, at, length);
  }
}
