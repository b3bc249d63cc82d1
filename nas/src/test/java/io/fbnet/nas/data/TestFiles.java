package io.fbnet.nas.data;

import java.awt.image.BufferedImage;
import java.awt.image.WritableRaster;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.zip.CRC32;
import javax.imageio.ImageIO;

/** Image files that the tests of this package write. */
final class TestFiles {
  private TestFiles() {}

  /** An options object that collects its notices and keeps its cache in the test's folder. */
  static DataOptions options(Path data, ImageShape shape, Path cache, List<String> notices) {
    return DataOptions.of(data.toString(), shape)
        .withThreads(2)
        .withOffline(true)
        .withCacheDir(cache)
        .withNotices(
            line -> {
              synchronized (notices) {
                notices.add(line);
              }
            });
  }

  static List<String> notices() {
    return new ArrayList<>();
  }

  /** Encodes with the JDK. */
  static byte[] encode(BufferedImage image, String format) {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    try {
      if (!ImageIO.write(image, format, out)) {
        throw new IllegalStateException("no writer of " + format + " for this image");
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return out.toByteArray();
  }

  /** A colour image of smooth gradients, another for each number. */
  static BufferedImage gradient(int width, int height, int number) {
    BufferedImage image = new BufferedImage(width, height, BufferedImage.TYPE_INT_RGB);
    for (int y = 0; y < height; y++) {
      for (int x = 0; x < width; x++) {
        int r = 255 * x / width;
        int g = 255 * y / height;
        image.setRGB(x, y, r << 16 | g << 8 | (number * 29 & 255));
      }
    }
    return image;
  }

  /** An image whose samples are set one by one, whatever its colour space. */
  static BufferedImage samples(BufferedImage image, int... interleaved) {
    WritableRaster raster = image.getRaster();
    raster.setPixels(0, 0, raster.getWidth(), raster.getHeight(), interleaved);
    return image;
  }

  static byte[] ppm(String header, int... samples) {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    out.writeBytes(header.getBytes(StandardCharsets.US_ASCII));
    for (int sample : samples) {
      out.write(sample);
    }
    return out.toByteArray();
  }

  /** Exif's TIFF block with nothing but an orientation. */
  static byte[] tiff(int orientation, boolean littleEndian) {
    ByteBuffer block = ByteBuffer.allocate(26);
    block.order(littleEndian ? ByteOrder.LITTLE_ENDIAN : ByteOrder.BIG_ENDIAN);
    block.putShort((short) (littleEndian ? 0x4949 : 0x4D4D)).putShort((short) 42).putInt(8);
    block.putShort((short) 1).putShort((short) 0x112).putShort((short) 3).putInt(1);
    block.putShort((short) orientation);
    return block.array();
  }

  /** Puts an Exif segment right after a JPEG's first marker. */
  static byte[] withExif(byte[] jpeg, byte[] tiff) {
    ByteBuffer out = ByteBuffer.allocate(jpeg.length + tiff.length + 10);
    out.put(jpeg, 0, 2).putShort((short) 0xFFE1).putShort((short) (tiff.length + 8));
    out.put("Exif\0\0".getBytes(StandardCharsets.US_ASCII)).put(tiff);
    out.put(jpeg, 2, jpeg.length - 2);
    return out.array();
  }

  /** Puts a chunk right after a PNG's header chunk. */
  static byte[] withChunk(byte[] png, String type, byte[] data) {
    int header = 8 + 25;
    byte[] name = type.getBytes(StandardCharsets.US_ASCII);
    CRC32 crc = new CRC32();
    crc.update(name);
    crc.update(data);
    ByteBuffer out = ByteBuffer.allocate(png.length + data.length + 12);
    out.put(png, 0, header).putInt(data.length).put(name).put(data).putInt((int) crc.getValue());
    out.put(png, header, png.length - header);
    return out.array();
  }

  static Path write(Path file, byte[] content) throws IOException {
    Files.createDirectories(file.getParent());
    return Files.write(file, content);
  }

  /** A folder of two classes in train/ and test/, PNG and JPEG mixed, of several sizes. */
  static Path imageFolder(Path root, int train, int test) throws IOException {
    for (String split : List.of("train", "test")) {
      for (String name : List.of("cat", "dog")) {
        int count = split.equals("train") ? train : test;
        for (int i = 0; i < count; i++) {
          BufferedImage image = gradient(12 + i, 10 + 2 * i, i + name.length() * 3);
          String format = i % 2 == 0 ? "png" : "jpeg";
          Path file = root.resolve(split).resolve(name).resolve(i + "." + format);
          write(file, encode(image, format));
        }
      }
    }
    return root;
  }
}
