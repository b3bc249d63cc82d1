package io.fbnet.nas.data;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** TIFF and WebP files against what other decoders read of them; pictures.py writes both. */
class PicturesTest {
  static byte[] picture(String name) {
    try (InputStream in = PicturesTest.class.getResourceAsStream("pictures/" + name)) {
      return in.readAllBytes();
    } catch (IOException e) {
      throw new AssertionError(e);
    }
  }

  private static RasterImage decode(byte[] content, ImageShape space) throws BadImageException {
    try (ImageFileDecoder decoder = new ImageFileDecoder()) {
      return decoder.decode(content, space);
    }
  }

  /** What another decoder reads of a file of so many channels. */
  private static RasterImage expected(String name, int channels) throws BadImageException {
    return NpyArray.read(picture(name + ".npy"), new ImageShape(channels, 1, 1, PixelType.F32));
  }

  private static float number(RasterImage image, int i) {
    return image.isDeep() ? image.numbers[i] : (image.planes[i] & 255) / 255f;
  }

  private static double largestDifference(RasterImage a, RasterImage b, String what) {
    assertEquals(
        List.of(a.channels, a.height, a.width), List.of(b.channels, b.height, b.width), what);
    double largest = 0;
    for (int i = 0; i < a.channels * a.height * a.width; i++) {
      largest = Math.max(largest, Math.abs(number(a, i) - number(b, i)));
    }
    return largest;
  }

  @ParameterizedTest
  @CsvSource({
    "pages_uint8, 7",
    "pages_uint16, 7",
    "pages_float32, 7",
    "chunky_uint8, 7",
    "chunky_uint16, 7",
    "chunky_float32, 7",
    "planar_uint8, 7",
    "planar_uint16, 7",
    "planar_float32, 7",
    "rgb_uint8, 3",
    "rgb_uint16, 3",
    "rgb_float32, 3",
    "grey_uint8, 1",
    "grey_uint16, 1",
    "grey_float32, 1",
    "deflated, 7",
    "differences, 7",
    "tiles, 7",
    "big, 7",
    "imagej, 7",
    "lzw, 7",
    "four, 4",
    "alpha, 4",
    "white, 1",
    "photo_tiff_lzw, 3",
    "photo_packbits, 3",
    "palette, 3",
    "fax, 3"
  })
  void channelsArePagesOrSamples(String name, int channels) throws BadImageException {
    byte[] file = picture(name + ".tif");
    RasterImage wanted = expected(name, channels);
    RasterImage deep = decode(file, new ImageShape(channels, 8, 8, PixelType.F32));
    assertEquals(wanted.isDeep(), deep.isDeep());
    assertEquals(0, largestDifference(wanted, deep, name));
    if (!name.endsWith("float32")) {
      RasterImage bytes = decode(file, new ImageShape(channels, 8, 8));
      assertTrue(!bytes.isDeep());
      assertEquals(0, largestDifference(wanted, bytes, name), 0.5001 / 255);
    }
  }

  @Test
  void aPhotographIsDecodedAsItsCodecSays() throws BadImageException {
    RasterImage jpeg = decode(picture("photo_jpeg.tif"), new ImageShape(3, 8, 8));
    assertEquals(0, largestDifference(expected("photo_jpeg", 3), jpeg, "JPEG"), 4 / 255.0);
  }

  @Test
  void alphaLiesOnWhite() throws BadImageException {
    RasterImage colours = expected("alpha", 4);
    RasterImage seen = decode(picture("alpha.tif"), new ImageShape(3, 8, 8));
    over(colours, seen, 0.51 / 255);
    over(
        expected("covered", 4),
        decode(picture("covered.webp"), new ImageShape(3, 8, 8)),
        0.51 / 255);
    ImageShape grey = new ImageShape(1, 8, 8);
    assertEquals(3, decode(picture("alpha.tif"), grey).channels);
  }

  private static void over(RasterImage colours, RasterImage seen, double most) {
    int plane = colours.height * colours.width;
    assertEquals(3, seen.channels);
    for (int i = 0; i < 3 * plane; i++) {
      double opacity = number(colours, 3 * plane + i % plane);
      double wanted = number(colours, i) * opacity + 1 - opacity;
      assertEquals(wanted, number(seen, i), most);
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"lossless", "noise", "few"})
  void losslessWebpIsExact(String name) throws BadImageException {
    RasterImage seen = decode(picture(name + ".webp"), new ImageShape(3, 8, 8));
    assertEquals(0, largestDifference(expected(name, 3), seen, name));
  }

  /** libwebp smooths the two colour planes where they are brought to full size. */
  @Test
  void lossyWebpDiffersWhereColoursChange() throws BadImageException {
    RasterImage seen = decode(picture("lossy.webp"), new ImageShape(3, 8, 8));
    RasterImage wanted = expected("lossy", 3);
    assertEquals(0, largestDifference(wanted, seen, "lossy"), 12 / 255.0);
    double sum = 0;
    for (int i = 0; i < seen.planes.length; i++) {
      sum += number(seen, i) - number(wanted, i);
    }
    assertEquals(0, sum / seen.planes.length, 0.5 / 255);
    over(
        expected("covered_lossy", 4),
        decode(picture("covered_lossy.webp"), new ImageShape(3, 8, 8)),
        55 / 255.0);
  }

  @Test
  void exifTurnsWebp() throws BadImageException {
    RasterImage seen = decode(picture("turned.webp"), new ImageShape(3, 8, 8));
    RasterImage wanted = expected("turned", 3).oriented(6);
    assertEquals(0, largestDifference(wanted, seen, "turned"));
    assertEquals(11, seen.width);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = ';',
      value = {
        "pages_uint8.tif; 3; 7 pages of 1 channel, and the space takes 3",
        "pages_uint8.tif; 1; 7 pages of 1 channel",
        "pages_uint8.tif; 8; takes 8",
        "chunky_uint8.tif; 3; a page of 7 channels",
        "four.tif; 3; a page of 4 channels",
        "photo_tiff_lzw.tif; 7; a page of 3 channels, and the space takes 7",
        "palette.tif; 7; the space takes 7",
        "signed.tif; 7; 16-bit signed",
        "doubles.tif; 7; 64-bit floats",
        "grey_float32.tif; 1; --pixels f32",
        "lossless.webp; 7; 3 channels, and the space takes 7",
        "animated.webp; 3; animated",
      })
  void whatDoesNotFitIsNamed(String name, int channels, String words) {
    ImageShape space = new ImageShape(channels, 8, 8);
    BadImageException e =
        assertThrows(
            BadImageException.class,
            () -> CentreCropResizer.fit(decode(picture(name), space), space));
    assertTrue(e.getMessage().contains(words), e.getMessage());
  }

  /** Every length of every kind: no pixel of what is missing is made up. */
  @ParameterizedTest
  @CsvSource({
    "pages_uint16.tif, 7", "planar_uint8.tif, 7", "deflated.tif, 7", "lzw.tif, 7", "big.tif, 7",
    "tiles.tif, 7", "photo_jpeg.tif, 3", "lossless.webp, 3", "lossy.webp, 3",
        "covered_lossy.webp, 3"
  })
  void cutFilesAreRefused(String name, int channels) throws BadImageException {
    byte[] whole = picture(name);
    ImageShape space = new ImageShape(channels, 8, 8, PixelType.F32);
    RasterImage right = decode(whole, space);
    for (int length = 1; length < whole.length; length += 1 + whole.length / 97) {
      byte[] cut = Arrays.copyOf(whole, length);
      try {
        // What stands behind the last pixel may be missing.
        assertEquals(0, largestDifference(right, decode(cut, space), name + " of " + length));
      } catch (BadImageException e) {
        assertTrue(!e.getMessage().isBlank());
      }
    }
  }

  @Test
  void pagesWithoutEndAndPixelsWithoutBytesAreRefused() {
    byte[] circle = picture("pages_uint8.tif");
    ByteBuffer file = ByteBuffer.wrap(circle).order(ByteOrder.LITTLE_ENDIAN);
    int first = file.getInt(4);
    file.putInt(first + 2 + 12 * file.getChar(first), first);
    refused(circle, "have no end");
    byte[] huge = picture("grey_uint8.tif");
    file = ByteBuffer.wrap(huge).order(ByteOrder.LITTLE_ENDIAN);
    first = file.getInt(4);
    for (int at = first + 2; at < first + 2 + 12 * file.getChar(first); at += 12) {
      if (file.getChar(at) == 256 || file.getChar(at) == 257) {
        file.putChar(at + 2, (char) 4).putInt(at + 8, 16000);
      }
    }
    refused(huge, "cannot hold its pixels");
  }

  private static void refused(byte[] file, String words) {
    BadImageException e =
        assertThrows(BadImageException.class, () -> decode(file, new ImageShape(1, 8, 8)));
    assertTrue(e.getMessage().contains(words), e.getMessage());
  }
}
