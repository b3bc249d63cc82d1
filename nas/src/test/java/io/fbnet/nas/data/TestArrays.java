package io.fbnet.nas.data;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Collectors;

/** Arrays of NumPy's format that tests write. */
public final class TestArrays {
  private TestArrays() {}

  /** A file of any header, right or wrong. */
  static byte[] file(int version, String header, byte[] data) {
    byte[] text = header.getBytes(StandardCharsets.UTF_8);
    ByteBuffer out =
        ByteBuffer.allocate((version == 1 ? 10 : 12) + text.length + data.length)
            .order(ByteOrder.LITTLE_ENDIAN);
    out.put((byte) 0x93).put("NUMPY".getBytes(StandardCharsets.US_ASCII));
    out.put((byte) version).put((byte) 0);
    if (version == 1) {
      out.putShort((short) text.length);
    } else {
      out.putInt(text.length);
    }
    return out.put(text).put(data).array();
  }

  /** A header as NumPy writes it. */
  static String header(String descr, boolean fortran, int... shape) {
    String sides =
        Arrays.stream(shape).mapToObj(Integer::toString).collect(Collectors.joining(", "));
    String text =
        "{'descr': '%s', 'fortran_order': %s, 'shape': (%s%s), }"
            .formatted(descr, fortran ? "True" : "False", sides, shape.length == 1 ? "," : "");
    return text + " ".repeat(63 - (text.length() + 10) % 64) + "\n";
  }

  /** Numbers in the order and type of a description. */
  static byte[] data(String descr, double... numbers) {
    int bytes = descr.charAt(2) - '0';
    ByteBuffer out =
        ByteBuffer.allocate(numbers.length * bytes)
            .order(descr.startsWith(">") ? ByteOrder.BIG_ENDIAN : ByteOrder.LITTLE_ENDIAN);
    for (double number : numbers) {
      switch (descr.substring(1)) {
        case "u1" -> out.put((byte) number);
        case "u2" -> out.putShort((short) (int) number);
        case "f4" -> out.putFloat((float) number);
        default -> out.putDouble(number);
      }
    }
    return out.array();
  }

  static byte[] npy(String descr, double[] numbers, int... shape) {
    return file(1, header(descr, false, shape), data(descr, numbers));
  }

  /** Random numbers of a type, of which a class has larger ones. */
  static double[] random(Random random, String descr, int count, int label) {
    double largest =
        switch (descr.substring(1)) {
          case "u1" -> 255;
          case "u2" -> 4095;
          default -> 1;
        };
    double[] numbers = new double[count];
    for (int i = 0; i < count; i++) {
      double number = (random.nextDouble() * 0.6 + 0.4 * label) * largest;
      numbers[i] = descr.endsWith("f4") ? 100 * number - 30 : Math.rint(number);
    }
    return numbers;
  }

  /** A folder of two classes in train/ and test/, arrays [channels, height, width]. */
  public static Path folder(Path root, String descr, int train, int... shape) throws IOException {
    Random random = new Random(train + shape[0]);
    int count = Arrays.stream(shape).reduce(1, (a, b) -> a * b);
    for (String split : List.of("train", "test")) {
      for (int label = 0; label < 2; label++) {
        for (int i = 0; i < (split.equals("train") ? train : 3); i++) {
          Path file = root.resolve(split).resolve(label == 0 ? "calm" : "wild").resolve(i + ".npy");
          TestFiles.write(file, npy(descr, random(random, descr, count, label), shape));
        }
      }
    }
    return root;
  }

  /** Joins parts. */
  static byte[] joined(byte[]... parts) {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    for (byte[] part : parts) {
      out.writeBytes(part);
    }
    return out.toByteArray();
  }

  /** A photograph in a folder of a class. */
  public static void photograph(Path file) throws IOException {
    Files.createDirectories(file.getParent());
    Files.write(file, TestFiles.encode(TestFiles.gradient(20, 20, 3), "jpeg"));
  }
}
