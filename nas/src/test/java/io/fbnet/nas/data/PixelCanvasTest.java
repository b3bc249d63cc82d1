package io.fbnet.nas.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.Random;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;

/** What each operation makes of images that one can compute by hand. */
class PixelCanvasTest {
  private static final byte[] BACKGROUND = {7, 8, 9};

  private static int[] after(
      int channels, int height, int width, Consumer<PixelCanvas> operation, int... pixels) {
    ImageShape shape = new ImageShape(channels, height, width);
    assertEquals(shape.elements(), pixels.length);
    PixelCanvas canvas = new PixelCanvas(shape, BACKGROUND);
    byte[] bytes = new byte[pixels.length];
    for (int i = 0; i < bytes.length; i++) {
      bytes[i] = (byte) pixels[i];
    }
    canvas.read(MemorySegment.ofArray(bytes), 0);
    operation.accept(canvas);
    canvas.write(MemorySegment.ofArray(bytes), 0);
    int[] result = new int[bytes.length];
    for (int i = 0; i < bytes.length; i++) {
      result[i] = bytes[i] & 255;
    }
    return result;
  }

  private static int[] row(Consumer<PixelCanvas> operation, int... pixels) {
    return after(1, 1, pixels.length, operation, pixels);
  }

  private static int[] noise(int count) {
    return new Random(5).ints(count, 0, 256).toArray();
  }

  @Test
  void resizedIsBetweenCentresOfPixels() {
    assertArrayEquals(new int[] {20, 23, 28, 30}, row(c -> c.resized(0, 1, 1, 2), 10, 20, 30, 40));
    assertArrayEquals(
        new int[] {1, 1, 3, 3, 1, 1, 3, 3, 9, 9, 11, 11},
        after(1, 3, 4, c -> c.resized(0, 0, 3, 4), 1, 1, 3, 3, 1, 1, 3, 3, 9, 9, 11, 11));
    // Rows 1 and 2 of three, column 0 of two: (0.5 + y) 2/3 - 0.5 = -1/6, 1/2, 7/6.
    assertArrayEquals(
        new int[] {30, 30, 40, 40, 50, 50},
        after(1, 3, 2, c -> c.resized(1, 0, 2, 1), 10, 20, 30, 0, 50, 0));
    int[] colours = noise(3 * 5 * 7);
    assertArrayEquals(colours, after(3, 5, 7, c -> c.resized(0, 0, 5, 7), colours));
  }

  @Test
  void windowsMoveBlackIn() {
    assertArrayEquals(
        new int[] {0, 4, 5, 0, 0, 0}, after(1, 2, 3, c -> c.window(1, -1), 1, 2, 3, 4, 5, 6));
    assertArrayEquals(
        new int[] {0, 0, 0, 3, 0, 0}, after(1, 2, 3, c -> c.window(-1, 2), 1, 2, 3, 4, 5, 6));
    assertArrayEquals(new int[] {0, 0}, row(c -> c.window(0, 5), 1, 2));
    assertArrayEquals(new int[] {0, 0}, row(c -> c.window(-3, 0), 1, 2));
  }

  @Test
  void mirroredIsLeftToRight() {
    assertArrayEquals(
        new int[] {3, 2, 1, 6, 5, 4}, after(1, 2, 3, PixelCanvas::mirror, 1, 2, 3, 4, 5, 6));
  }

  @Test
  void affineTakesTheNearestPixel() {
    assertArrayEquals(new int[] {7, 1, 2}, row(c -> c.affine(1, 0, 0, 1, -1, 0), 1, 2, 3));
    // A quarter turn.
    assertArrayEquals(
        new int[] {3, 6, 9, 2, 5, 8, 1, 4, 7},
        after(1, 3, 3, c -> c.affine(0, -1, 1, 0, 0, 0), 1, 2, 3, 4, 5, 6, 7, 8, 9).clone());
    assertArrayEquals(
        new int[] {1, 7, 3, 8, 5, 9},
        after(3, 1, 2, c -> c.affine(1, 0, 0, 1, 1, 0), 2, 1, 4, 3, 6, 5));
  }

  @Test
  void coloursAreMultipliedAndRounded() {
    assertArrayEquals(new int[] {0, 2, 200, 255}, row(c -> c.brightness(2), 0, 1, 100, 200));
    assertArrayEquals(new int[] {0, 1, 50}, row(c -> c.brightness(0.5), 0, 1, 100));
    // The mean is 100.
    assertArrayEquals(new int[] {0, 150, 100, 150}, row(c -> c.contrast(1.25), 20, 140, 100, 140));
    assertArrayEquals(new int[] {100, 100, 100, 100}, row(c -> c.contrast(0), 20, 140, 100, 140));
    // (299 x 200 + 587 x 100 + 114 x 0) / 1000 = 118.5.
    assertArrayEquals(new int[] {119, 119, 119}, after(3, 1, 1, c -> c.saturation(0), 200, 100, 0));
    assertArrayEquals(
        new int[] {160, 110, 60}, after(3, 1, 1, c -> c.saturation(0.5), 200, 100, 0));
    assertArrayEquals(new int[] {3, 4}, row(c -> c.saturation(0), 3, 4), "grey has no colours");
    int[] colours = noise(3 * 4 * 5);
    assertArrayEquals(
        colours,
        after(
            3,
            4,
            5,
            c -> {
              c.brightness(1);
              c.contrast(1);
              c.saturation(1);
              c.sharpness(1);
              c.posterise(8);
            },
            colours));
  }

  @Test
  void sharpnessLeavesTheEdge() {
    int[] spike = new int[25];
    spike[12] = 130;
    int[] smooth = new int[25];
    for (int y = 1; y < 4; y++) {
      Arrays.fill(smooth, y * 5 + 1, y * 5 + 4, 10);
    }
    smooth[12] = 50;
    assertArrayEquals(smooth, after(1, 5, 5, c -> c.sharpness(0), spike));
    spike[12] = 255;
    spike[2] = 77;
    assertEquals(77, after(1, 5, 5, c -> c.sharpness(0), spike)[2]);
  }

  @Test
  void tablesReplaceValues() {
    assertArrayEquals(new int[] {0, 128, 128}, row(c -> c.posterise(1), 127, 128, 255));
    assertArrayEquals(new int[] {112, 240}, row(c -> c.posterise(4), 127, 255));
    assertArrayEquals(new int[] {127, 127, 0}, row(c -> c.solarise(128), 127, 128, 255));
    assertArrayEquals(new int[] {0, 51, 255}, row(PixelCanvas::stretch, 50, 60, 100));
    assertArrayEquals(new int[] {5, 5}, row(PixelCanvas::stretch, 5, 5));
    // Each channel by itself.
    assertArrayEquals(
        new int[] {0, 255, 9, 9, 255, 0}, after(3, 1, 2, PixelCanvas::stretch, 10, 20, 9, 9, 2, 1));
    int[] two = new int[512];
    Arrays.fill(two, 0, 256, 10);
    Arrays.fill(two, 256, 512, 20);
    int[] far = new int[512];
    Arrays.fill(far, 256, 512, 255);
    assertArrayEquals(far, after(1, 16, 32, PixelCanvas::equalise, two));
    assertArrayEquals(new int[] {3, 9}, row(PixelCanvas::equalise, 3, 9), "too few to be moved");
  }

  @Test
  void cutOutIsClippedAtTheEdge() {
    int[] image = {1, 1, 1, 2, 2, 2, 3, 3, 3};
    assertArrayEquals(
        new int[] {7, 7, 1, 7, 7, 2, 3, 3, 3}, after(1, 3, 3, c -> c.cutOut(1, 1, 2), image));
    assertArrayEquals(
        new int[] {7, 7, 1, 7, 7, 2, 3, 3, 3}, after(1, 3, 3, c -> c.cutOut(0, 0, 3), image));
    assertArrayEquals(
        new int[] {7, 7, 7, 7, 7, 7, 7, 7, 7}, after(1, 3, 3, c -> c.cutOut(2, 0, 9), image));
  }
}
