package io.fbnet.nas.fuzz;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.UnaryOperator;

/** Damages valid files. What comes depends on the random numbers alone. */
public class Mutator {
  /** Where sizes, counts and offsets go wrong: around nothing, signs and the ends of the types. */
  private static final long[] EXTREMES = {
    0,
    1,
    2,
    -1,
    -2,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0x8000,
    0xffff,
    0x10000,
    0x4000_0000,
    Integer.MAX_VALUE,
    0x8000_0000L,
    0xffff_ffffL,
    Long.MAX_VALUE,
    Long.MIN_VALUE,
    Float.floatToRawIntBits(Float.NaN),
    Float.floatToRawIntBits(Float.NEGATIVE_INFINITY)
  };

  private final List<byte[]> valid;
  private final UnaryOperator<byte[]> mend;

  /**
   * Damages these files.
   *
   * @param valid files that are read as they are
   */
  public Mutator(List<byte[]> valid) {
    this(valid, UnaryOperator.identity());
  }

  /**
   * Damages these files, and mends most of what is damaged.
   *
   * @param valid files that are read as they are
   * @param mend puts checksums right, so that damage gets behind them; must take anything
   */
  public Mutator(List<byte[]> valid, UnaryOperator<byte[]> mend) {
    this.valid = List.copyOf(valid);
    this.mend = mend;
  }

  /** One of the valid files with one to six things wrong. */
  public byte[] next(SplittableRandom random) {
    byte[] bytes = any(random).clone();
    int faults = random.nextInt(3) == 0 ? 1 + random.nextInt(6) : 1;
    for (int i = 0; i < faults; i++) {
      bytes = damaged(bytes, random);
    }
    return random.nextInt(5) == 0 ? bytes : mend.apply(bytes);
  }

  /** A valid file, whichever. */
  final byte[] any(SplittableRandom random) {
    return valid.get(random.nextInt(valid.size()));
  }

  /** The valid files. */
  final List<byte[]> valid() {
    return valid;
  }

  /** A file with one more thing wrong. */
  byte[] damaged(byte[] bytes, SplittableRandom random) {
    if (bytes.length == 0) {
      return random(random, 1 + random.nextInt(40));
    }
    int at = place(bytes.length, random);
    return switch (random.nextInt(9)) {
      case 0 -> flipped(bytes, at, random);
      case 1 -> Arrays.copyOf(bytes, at);
      case 2 -> spliced(bytes, any(random), at, random);
      case 3 -> without(bytes, at, random.nextInt(1, 20));
      case 4 -> with(bytes, at, random(random, random.nextInt(1, 20)));
      case 5 -> repeated(bytes, at, random);
      case 6 -> replaced(bytes, at, random(random, random.nextInt(1, 8)));
      default -> replaced(bytes, at, number(random));
    };
  }

  /** A place in a file: half of all lie in its head, where what is said decides how it is read. */
  private static int place(int length, SplittableRandom random) {
    return random.nextInt(random.nextBoolean() ? Math.min(length, 64) : length);
  }

  private static byte[] flipped(byte[] bytes, int at, SplittableRandom random) {
    bytes[at] ^= (byte) (1 << random.nextInt(8));
    return bytes;
  }

  private static byte[] spliced(byte[] a, byte[] b, int at, SplittableRandom random) {
    int from = random.nextInt(b.length + 1);
    return joined(Arrays.copyOf(a, at), Arrays.copyOfRange(b, from, b.length));
  }

  private static byte[] without(byte[] bytes, int at, int count) {
    int end = Math.min(bytes.length, at + count);
    return joined(Arrays.copyOf(bytes, at), Arrays.copyOfRange(bytes, end, bytes.length));
  }

  private static byte[] with(byte[] bytes, int at, byte[] more) {
    return joined(Arrays.copyOf(bytes, at), more, Arrays.copyOfRange(bytes, at, bytes.length));
  }

  private static byte[] repeated(byte[] bytes, int at, SplittableRandom random) {
    int end = Math.min(bytes.length, at + random.nextInt(1, 200));
    byte[] part = Arrays.copyOfRange(bytes, at, end);
    for (int times = random.nextInt(1, 10); times > 0; times--) {
      bytes = with(bytes, at, part);
    }
    return bytes;
  }

  private static byte[] replaced(byte[] bytes, int at, byte[] by) {
    System.arraycopy(by, 0, bytes, at, Math.min(by.length, bytes.length - at));
    return bytes;
  }

  /** An extreme in 1, 2, 4 or 8 bytes of either order. */
  private static byte[] number(SplittableRandom random) {
    int width = 1 << random.nextInt(4);
    long value = EXTREMES[random.nextInt(EXTREMES.length)];
    boolean little = random.nextBoolean();
    byte[] eight =
        ByteBuffer.allocate(8)
            .order(little ? ByteOrder.LITTLE_ENDIAN : ByteOrder.BIG_ENDIAN)
            .putLong(value)
            .array();
    return little ? Arrays.copyOf(eight, width) : Arrays.copyOfRange(eight, 8 - width, 8);
  }

  private static byte[] random(SplittableRandom random, int length) {
    byte[] bytes = new byte[length];
    random.nextBytes(bytes);
    return bytes;
  }

  private static byte[] joined(byte[]... parts) {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    for (byte[] part : parts) {
      out.writeBytes(part);
    }
    return out.toByteArray();
  }
}
