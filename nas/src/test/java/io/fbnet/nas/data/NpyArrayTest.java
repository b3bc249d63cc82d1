package io.fbnet.nas.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Arrays as NumPy writes them, as others may, and as none may be. */
class NpyArrayTest {
  private static final int C = 7;
  private static final int H = 5;
  private static final int W = 3;
  private static final ImageShape BYTES = new ImageShape(C, H, W);
  private static final ImageShape FLOATS = BYTES.with(PixelType.F32);

  @ParameterizedTest
  @ValueSource(strings = {"|u1", "<u2", ">u2", "<f4", ">f4"})
  void everyTypeOrderAndLayoutGivesTheSameNumbers(String descr) throws BadImageException {
    long seed = System.nanoTime();
    double[] chw = TestArrays.random(new Random(seed), descr, C * H * W, 1);
    double largest = descr.endsWith("u1") ? 255 : descr.endsWith("u2") ? 65535 : 1;
    for (int version = 1; version <= 3; version++) {
      for (boolean fortran : new boolean[] {false, true}) {
        for (boolean last : new boolean[] {false, true}) {
          int[] shape = last ? new int[] {H, W, C} : new int[] {C, H, W};
          byte[] data = TestArrays.data(descr, stored(chw, last, fortran));
          byte[] file = TestArrays.file(version, TestArrays.header(descr, fortran, shape), data);
          RasterImage image = NpyArray.read(file, FLOATS);
          String what = descr + " v" + version + (fortran ? " F" : " C") + last + ", seed " + seed;
          assertEquals(
              C + "x" + H + "x" + W, image.channels + "x" + image.height + "x" + image.width);
          assertEquals(!descr.endsWith("u1"), image.isDeep(), what);
          for (int i = 0; i < chw.length; i++) {
            double found = image.isDeep() ? image.numbers[i] : (image.planes[i] & 255) / 255.0;
            assertEquals((float) (chw[i] / largest), (float) found, what + " at " + i);
          }
        }
      }
    }
  }

  /** Numbers of an image in the order that a file of such a layout has. */
  private static double[] stored(double[] chw, boolean last, boolean fortran) {
    double[] out = new double[chw.length];
    for (int c = 0; c < C; c++) {
      for (int y = 0; y < H; y++) {
        for (int x = 0; x < W; x++) {
          int at;
          if (last) {
            at = fortran ? (c * W + x) * H + y : (y * W + x) * C + c;
          } else {
            at = fortran ? (x * H + y) * C + c : (c * H + y) * W + x;
          }
          out[at] = chw[(c * H + y) * W + x];
        }
      }
    }
    return out;
  }

  @Test
  void whereBytesAreWantedSixteenBitsAreRoundedAndFloatsRefused() throws BadImageException {
    ImageShape grey = new ImageShape(1, 1, 3);
    byte[] wide = TestArrays.npy("<u2", new double[] {0, 32896, 65535}, 1, 3);
    assertArrayEquals(new byte[] {0, (byte) 128, -1}, NpyArray.read(wide, grey).planes);
    byte[] floats = TestArrays.npy("<f4", new double[] {0.25, 0.5, 0.75}, 1, 3);
    refused(floats, grey, "floats", "--pixels f32");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{'descr':\"|u1\",'shape':(7,5,3),'fortran_order':False}",
        "{ 'shape' : ( 7 ,5,3,), 'fortran_order': False ,\"descr\": '|u1' , }",
      })
  void keysStandInAnyOrder(String header) throws BadImageException {
    byte[] data = new byte[C * H * W];
    new Random(3).nextBytes(data);
    assertArrayEquals(data, NpyArray.read(TestArrays.file(1, header + "\n", data), BYTES).planes);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = ';',
      value = {
        "{'descr': '<f8', 'fortran_order': False, 'shape': (7, 5, 3), }; astype('float32')",
        "{'descr': '<i2', 'fortran_order': False, 'shape': (7, 5, 3), }; '<i2'",
        "{'descr': '|O', 'fortran_order': False, 'shape': (7, 5, 3), }; '|O'",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (7,), }; records",
        "{'descr': '|u1', 'fortran_order': 0, 'shape': (7, 5, 3), }; dictionary",
        "{'descr': '|u1', 'fortran_order': '', 'shape': (7, 5, 3), }; fortran_order",
        "{'descr': '|u1', 'shape': (7, 5, 3), }; missing",
        "{'descr': '|u1', 'descr': '|u1', 'fortran_order': False, 'shape': (7, 5, 3), }; twice",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (7, 5, 3), 'more': 'x'}; 'more'",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (7 5, 3), }; shape",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (7, -5, 3), }; dictionary",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (7, 99999999999, 3), }; below"
            + " 2147483648",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (7, 9999999999, 3), }; 9999999999",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (7, 2147483647, 2147483647)}; too few",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (7, 5, 4), }; too few",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (7, 5, 2), }; 35 bytes over",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (5, 7, 3), }; 7 channels of the space",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (15, 7), }; 7 channels of the space",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (1, 7, 5, 3), }; [1, 7, 5, 3]",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (105,), }; [105]",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (7, 0, 3), }; no numbers",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (7, 5, 3), ; dictionary",
        "'descr': '|u1', 'fortran_order': False, 'shape': (7, 5, 3); dictionary",
      })
  void wrongHeadersAreNamed(String header, String words) {
    for (int version = 1; version <= 3; version++) {
      refused(TestArrays.file(version, header + " \n", new byte[C * H * W]), BYTES, words);
    }
  }

  @Test
  void wrongBeginningsAreNamed() {
    byte[] whole = TestArrays.npy("|u1", new double[C * H * W], C, H, W);
    for (int length = 6; length < whole.length; length++) {
      refused(Arrays.copyOf(whole, length), BYTES, "truncated");
    }
    byte[] other = whole.clone();
    other[6] = 4;
    refused(other, BYTES, "version of .npy, 4");
    byte[] lies = TestArrays.file(2, "{}", new byte[0]);
    lies[11] = (byte) 0x80;
    refused(lies, BYTES, "truncated");
  }

  @Test
  void anEmptyArrayIsNotCalledTruncated() {
    refused(TestArrays.npy("|u1", new double[0], C, 0, W), BYTES, "[7, 0, 3]", "no numbers");
  }

  @Test
  void ofManySidesTheFirstAreShown() {
    String header = TestArrays.header("|u1", false, IntStream.range(1, 3000).toArray());
    refused(TestArrays.file(2, header, new byte[8]), BYTES, "[1, 2, 3, 4, 5, 6, 7, 8, ...]");
  }

  @Test
  void numbersThatAreNoneAreNamed() {
    for (float wrong : new float[] {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY}) {
      double[] numbers = new double[C * H * W];
      Arrays.fill(numbers, 2.5);
      numbers[41] = wrong;
      refused(TestArrays.npy("<f4", numbers, C, H, W), FLOATS, Float.toString(wrong));
    }
  }

  @Test
  void whereBothEndsMayBeChannelsTheSpacesSizeTells() throws BadImageException {
    byte[] numbers = new byte[7 * 5 * 7];
    new Random(7).nextBytes(numbers);
    byte[] file = TestArrays.file(1, TestArrays.header("|u1", false, 7, 5, 7), numbers);
    RasterImage first = NpyArray.read(file, new ImageShape(7, 5, 7));
    assertArrayEquals(numbers, first.planes);
    RasterImage last = NpyArray.read(file, new ImageShape(7, 7, 5));
    assertEquals(7, last.height);
    assertEquals(numbers[(3 * 5 + 4) * 7 + 6], last.planes[(6 * 7 + 3) * 5 + 4]);
    refused(file, new ImageShape(7, 8, 8), "[7, 5, 7]", "8 x 8");
  }

  private static void refused(byte[] file, ImageShape space, String... words) {
    BadImageException e = assertThrows(BadImageException.class, () -> NpyArray.read(file, space));
    for (String word : words) {
      assertTrue(e.getMessage().contains(word), e.getMessage() + " / " + word);
    }
  }
}
