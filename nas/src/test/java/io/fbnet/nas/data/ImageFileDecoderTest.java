package io.fbnet.nas.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.awt.Transparency;
import java.awt.color.ColorSpace;
import java.awt.image.BufferedImage;
import java.awt.image.ComponentColorModel;
import java.awt.image.DataBuffer;
import java.awt.image.IndexColorModel;
import java.awt.image.Raster;
import java.awt.image.WritableRaster;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.zip.CRC32;
import javax.imageio.IIOImage;
import javax.imageio.ImageIO;
import javax.imageio.ImageWriter;
import javax.imageio.stream.MemoryCacheImageOutputStream;
import org.junit.jupiter.api.Test;

class ImageFileDecoderTest {
  @Test
  void readsColourPngAsPlanes() throws BadImageException {
    BufferedImage image = new BufferedImage(2, 1, BufferedImage.TYPE_INT_RGB);
    image.setRGB(0, 0, 0x010203);
    image.setRGB(1, 0, 0xFFFEFD);
    RasterImage decoded = decode(TestFiles.encode(image, "png"));
    assertEquals(3, decoded.channels);
    assertPlanes(decoded, 1, 255, 2, 254, 3, 253);
  }

  @Test
  void readsGreyValuesAsTheyAreStored() throws BadImageException {
    BufferedImage image = new BufferedImage(4, 1, BufferedImage.TYPE_BYTE_GRAY);
    byte[] png = TestFiles.encode(TestFiles.samples(image, 0, 50, 128, 255), "png");
    assertPlanes(decode(png), 0, 50, 128, 255);
    BufferedImage deep = new BufferedImage(4, 1, BufferedImage.TYPE_USHORT_GRAY);
    byte[] png16 = TestFiles.encode(TestFiles.samples(deep, 0, 50 * 257, 128 * 257, 65535), "png");
    assertPlanes(decode(png16), 0, 50, 128, 255);
    BufferedImage bits = new BufferedImage(2, 1, BufferedImage.TYPE_BYTE_BINARY);
    assertPlanes(decode(TestFiles.encode(TestFiles.samples(bits, 0, 1), "png")).grey(), 0, 255);
  }

  @Test
  void readsSixteenBitColourAndAlpha() throws BadImageException {
    byte[] png =
        TestFiles.encode(
            component(DataBuffer.TYPE_USHORT, true, 65535, 257, 0, 65535, 0, 0, 0, 0), "png");
    assertPlanes(decode(png), 255, 255, 1, 255, 0, 255);
  }

  @Test
  void compositesAlphaOnWhite() throws BadImageException {
    byte[] png =
        TestFiles.encode(
            component(DataBuffer.TYPE_BYTE, true, 10, 20, 30, 255, 0, 100, 200, 128), "png");
    assertPlanes(decode(png), 10, 127, 20, 177, 30, 227);
    IndexColorModel palette =
        new IndexColorModel(
            8, 2, new byte[] {9, 8}, new byte[] {7, 6}, new byte[] {5, 4}, new byte[] {-1, 0});
    BufferedImage indexed = new BufferedImage(2, 1, BufferedImage.TYPE_BYTE_INDEXED, palette);
    assertPlanes(
        decode(TestFiles.encode(TestFiles.samples(indexed, 0, 1), "png")), 9, 255, 7, 255, 5, 255);
  }

  @Test
  void readsNetpbm() throws BadImageException {
    assertPlanes(decode(TestFiles.ppm("P5\n# by hand\n2 1\n255\n", 7, 200)), 7, 200);
    assertPlanes(decode(TestFiles.ppm("P6 1 2 255 ", 1, 2, 3, 4, 5, 6)), 1, 4, 2, 5, 3, 6);
    assertPlanes(decode(TestFiles.ppm("P5 3 1 15 ", 0, 7, 15)), 0, 119, 255);
    assertPlanes(decode(TestFiles.ppm("P5 2 1 65535 ", 255, 255, 128, 128)), 255, 128);
    assertBad("truncated", TestFiles.ppm("P6 2 2 255 ", 1, 2, 3));
    assertBad("header", TestFiles.ppm("P5 2"));
    assertBad("impossible size", TestFiles.ppm("P5 999999 999999 255 ", 1));
    assertBad("kind P3", TestFiles.ppm("P3 1 1 255 1 2 3"));
  }

  @Test
  void readsColourAndGreyJpeg() throws BadImageException {
    BufferedImage image = TestFiles.gradient(40, 24, 3);
    RasterImage decoded = decode(TestFiles.encode(image, "jpeg"));
    for (int i = 0; i < 40 * 24; i++) {
      int rgb = image.getRGB(i % 40, i / 40);
      for (int c = 0; c < 3; c++) {
        int expected = rgb >> (16 - 8 * c) & 255;
        assertEquals(expected, decoded.planes[c * 960 + i] & 255, 16, "channel " + c + " of " + i);
      }
    }
    BufferedImage grey = new BufferedImage(8, 8, BufferedImage.TYPE_BYTE_GRAY);
    int[] values = new int[64];
    Arrays.fill(values, 50);
    RasterImage flat = decode(TestFiles.encode(TestFiles.samples(grey, values), "jpeg"));
    assertEquals(1, flat.channels);
    assertEquals(50, flat.planes[9] & 255, 1);
  }

  @Test
  void turnsImagesTheWayExifSays() throws BadImageException {
    // A 32 x 16 image, its left half dark and its top left corner's red marked.
    BufferedImage image = new BufferedImage(32, 16, BufferedImage.TYPE_INT_RGB);
    for (int y = 0; y < 8; y++) {
      for (int x = 0; x < 16; x++) {
        image.setRGB(x, y, 0xFF0000);
      }
    }
    // Where the stored top left corner is shown, as row and column 0 or 1, by orientation.
    int[][] corners = {{0, 0}, {0, 1}, {1, 1}, {1, 0}, {0, 0}, {0, 1}, {1, 1}, {1, 0}};
    byte[] jpeg = TestFiles.encode(image, "jpeg");
    byte[] png = TestFiles.encode(image, "png");
    for (int orientation = 1; orientation <= 8; orientation++) {
      byte[] tiff = TestFiles.tiff(orientation, orientation % 2 == 0);
      for (byte[] file :
          new byte[][] {TestFiles.withExif(jpeg, tiff), TestFiles.withChunk(png, "eXIf", tiff)}) {
        RasterImage decoded = decode(file);
        assertEquals(orientation < 5 ? 32 : 16, decoded.width, "orientation " + orientation);
        int y = corners[orientation - 1][0] * (decoded.height - 1);
        int x = corners[orientation - 1][1] * (decoded.width - 1);
        int red = decoded.planes[y * decoded.width + x] & 255;
        assertTrue(red > 200, "orientation " + orientation + " gives " + red);
        int opposite =
            decoded.planes[decoded.planes.length / 3 - 1 - (y * decoded.width + x)] & 255;
        assertTrue(opposite < 50);
      }
    }
  }

  /** All eight turns of a 2 x 3 image, written out by hand. */
  @Test
  void turnsEveryPixel() {
    RasterImage image = new RasterImage(1, 2, 3, new byte[] {1, 2, 3, 4, 5, 6});
    byte[][] expected = {
      {1, 2, 3, 4, 5, 6},
      {3, 2, 1, 6, 5, 4},
      {6, 5, 4, 3, 2, 1},
      {4, 5, 6, 1, 2, 3},
      {1, 4, 2, 5, 3, 6},
      {4, 1, 5, 2, 6, 3},
      {6, 3, 5, 2, 4, 1},
      {3, 6, 2, 5, 1, 4},
    };
    for (int orientation = 1; orientation <= 8; orientation++) {
      assertArrayEquals(expected[orientation - 1], image.oriented(orientation).planes);
    }
  }

  @Test
  void refusesCmykWithTheRemedy() throws IOException {
    WritableRaster raster = Raster.createInterleavedRaster(DataBuffer.TYPE_BYTE, 8, 8, 4, null);
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    ImageWriter writer = ImageIO.getImageWritersByFormatName("jpeg").next();
    try (MemoryCacheImageOutputStream stream = new MemoryCacheImageOutputStream(out)) {
      writer.setOutput(stream);
      writer.write(null, new IIOImage(raster, null, null), null);
    } finally {
      writer.dispose();
    }
    assertBad("CMYK", out.toByteArray());
    assertBad("-colorspace sRGB", out.toByteArray());
  }

  @Test
  void noticesTruncationWhereverItFalls() {
    BufferedImage image = TestFiles.gradient(64, 64, 5);
    for (String format : new String[] {"jpeg", "png"}) {
      byte[] whole = TestFiles.encode(image, format);
      for (int part = 1; part < 10; part++) {
        byte[] cut = Arrays.copyOf(whole, whole.length * part / 10);
        assertThrows(
            BadImageException.class, () -> decode(cut), format + " cut at " + part + "/10");
      }
    }
    assertBad("empty", new byte[0]);
    assertBad("none of JPEG", "<html>".getBytes(StandardCharsets.US_ASCII));
  }

  @Test
  void noticesFlippedBytesInPng() {
    byte[] png = TestFiles.encode(TestFiles.gradient(64, 64, 5), "png");
    png[png.length / 2] ^= 1;
    assertBad("checksum", png);
  }

  @Test
  void passesOverDamagedExif() throws BadImageException {
    byte[] jpeg = TestFiles.encode(TestFiles.gradient(8, 8, 1), "jpeg");
    for (int length = 0; length < 26; length++) {
      byte[] cut = Arrays.copyOf(TestFiles.tiff(6, false), length);
      assertEquals(8, decode(TestFiles.withExif(jpeg, cut)).width);
    }
  }

  /** The decoder would take a gigabyte before it finds out that there is nothing to fill it. */
  @Test
  void filesThatCannotHoldTheirPixelsAreRefusedAtOnce() {
    byte[] png = TestFiles.encode(TestFiles.gradient(24, 24, 5), "png");
    ByteBuffer header = ByteBuffer.wrap(png);
    header.putInt(16, 16384).putInt(20, 16384);
    CRC32 crc = new CRC32();
    crc.update(png, 12, 17);
    header.putInt(29, (int) crc.getValue());
    assertBad("cannot hold 16384 x 16384 pixels", png);
    byte[] jpeg = TestFiles.encode(TestFiles.gradient(24, 24, 5), "jpeg");
    for (int at = 0; at < jpeg.length - 9; at++) {
      if ((jpeg[at] & 255) == 0xFF && (jpeg[at + 1] & 255) == 0xC0) {
        ByteBuffer.wrap(jpeg).putShort(at + 5, (short) 16000).putShort(at + 7, (short) 16000);
      }
    }
    assertBad("cannot hold 256000000 pixels", jpeg);
  }

  /** As dense as the formats get: one colour over many pixels. */
  @Test
  void whatIsPackedDenselyIsRead() throws BadImageException {
    BufferedImage flat = new BufferedImage(3000, 2000, BufferedImage.TYPE_BYTE_GRAY);
    assertEquals(6_000_000, decode(TestFiles.encode(flat, "png")).planes.length);
    assertEquals(6_000_000, decode(TestFiles.encode(flat, "jpeg")).planes.length);
    BufferedImage bits = new BufferedImage(3000, 2000, BufferedImage.TYPE_BYTE_BINARY);
    assertEquals(18_000_000, decode(TestFiles.encode(bits, "png")).planes.length);
  }

  @Test
  void sixteenBitsAreKeptWhereFloatsAreWanted() throws BadImageException {
    BufferedImage grey = new BufferedImage(3, 1, BufferedImage.TYPE_USHORT_GRAY);
    byte[] png = TestFiles.encode(TestFiles.samples(grey, 1, 32769, 65534), "png");
    byte[] pgm = TestFiles.ppm("P5 3 1 65535 ", 0, 1, 128, 1, 255, 254);
    for (byte[] file : new byte[][] {png, pgm}) {
      RasterImage image = deep(file);
      assertArrayEquals(
          new float[] {1 / 65535f, 32769 / 65535f, 65534 / 65535f}, image.numbers, 1e-7f);
      assertArrayEquals(new byte[] {0, (byte) 128, -1}, decode(file).planes);
    }
    assertArrayEquals(
        new float[] {0, 0.5f, 1},
        deep(TestFiles.ppm("P5 3 1 1000 ", 0, 0, 1, 244, 3, 232)).numbers);
    RasterImage bytes = deep(TestFiles.ppm("P5 2 1 255 ", 7, 200));
    assertArrayEquals(new byte[] {7, (byte) 200}, bytes.planes);
    BufferedImage covered =
        component(DataBuffer.TYPE_USHORT, true, 40000, 0, 65535, 32768, 1, 2, 3, 65535);
    byte[] alpha = TestFiles.encode(covered, "png");
    RasterImage seen = deep(alpha);
    double opacity = 32768 / 65535.0;
    assertEquals(40000 / 65535.0 * opacity + 1 - opacity, seen.numbers[0], 1e-5);
    assertEquals(1 - opacity, seen.numbers[2], 1e-5);
    assertEquals(1, seen.numbers[4], 1e-5);
    assertEquals(3 / 65535.0, seen.numbers[5], 1e-9);
  }

  private static RasterImage deep(byte[] content) throws BadImageException {
    try (ImageFileDecoder decoder = new ImageFileDecoder()) {
      return decoder.decode(content, new ImageShape(3, 8, 8, PixelType.F32));
    }
  }

  private static RasterImage decode(byte[] content) throws BadImageException {
    try (ImageFileDecoder decoder = new ImageFileDecoder()) {
      return decoder.decode(content, new ImageShape(3, 8, 8));
    }
  }

  private static BufferedImage component(int type, boolean alpha, int... samples) {
    ComponentColorModel model =
        new ComponentColorModel(
            ColorSpace.getInstance(ColorSpace.CS_sRGB),
            alpha,
            false,
            alpha ? Transparency.TRANSLUCENT : Transparency.OPAQUE,
            type);
    WritableRaster raster = model.createCompatibleWritableRaster(2, 1);
    return TestFiles.samples(new BufferedImage(model, raster, false, null), samples);
  }

  private static void assertPlanes(RasterImage image, int... expected) {
    int[] actual = new int[image.planes.length];
    Arrays.setAll(actual, i -> image.planes[i] & 255);
    assertArrayEquals(expected, actual);
  }

  private static void assertBad(String word, byte[] content) {
    BadImageException e = assertThrows(BadImageException.class, () -> decode(content));
    assertTrue(e.getMessage().contains(word), e.getMessage());
  }
}
