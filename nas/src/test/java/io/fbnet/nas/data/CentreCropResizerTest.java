package io.fbnet.nas.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;

class CentreCropResizerTest {
  @Test
  void leavesAnImageOfTheRightSizeAlone() throws BadImageException {
    byte[] planes = new byte[3 * 7 * 5];
    new Random(1).nextBytes(planes);
    assertArrayEquals(
        planes, CentreCropResizer.fit(new RasterImage(3, 7, 5, planes), new ImageShape(3, 7, 5)));
  }

  @Test
  void cropsTheCentreWithoutBlurringWhereTheShorterSideFits() throws BadImageException {
    byte[] planes = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    RasterImage wide = new RasterImage(1, 2, 5, planes);
    assertArrayEquals(
        new byte[] {2, 3, 7, 8}, CentreCropResizer.fit(wide, new ImageShape(1, 2, 2)));
  }

  @Test
  void averagesOverAllPixelsWhenShrinking() throws BadImageException {
    // A fine checkerboard: picking single pixels would give black or white.
    byte[] planes = new byte[64 * 64];
    for (int i = 0; i < planes.length; i++) {
      planes[i] = (byte) ((i / 64 + i) % 2 == 0 ? 255 : 0);
    }
    byte[] small =
        CentreCropResizer.fit(new RasterImage(1, 64, 64, planes), new ImageShape(1, 8, 8));
    for (byte value : small) {
      assertEquals(127.5, value & 255, 3);
    }
  }

  @Test
  void keepsConstantsAndRampsAtAnyScale() throws BadImageException {
    for (int size : new int[] {3, 9, 10, 11, 31}) {
      byte[] flat = new byte[size * (size + 4)];
      Arrays.fill(flat, (byte) 200);
      byte[] out =
          CentreCropResizer.fit(
              new RasterImage(1, size, size + 4, flat), new ImageShape(1, 10, 10));
      for (byte value : out) {
        assertEquals(200, value & 255);
      }
    }
    byte[] ramp = new byte[100];
    for (int i = 0; i < 100; i++) {
      ramp[i] = (byte) (i % 10 * 20);
    }
    byte[] doubled =
        CentreCropResizer.fit(new RasterImage(1, 10, 10, ramp), new ImageShape(1, 20, 20));
    for (int x = 1; x < 19; x++) {
      assertEquals(20 * ((x + 0.5) / 2 - 0.5), doubled[200 + x] & 255, 0.51, "column " + x);
    }
  }

  @Test
  void turnsGreyIntoColourAndColourIntoGrey() throws BadImageException {
    RasterImage grey = new RasterImage(1, 1, 1, new byte[] {77});
    assertArrayEquals(
        new byte[] {77, 77, 77}, CentreCropResizer.fit(grey, new ImageShape(3, 1, 1)));
    RasterImage white = new RasterImage(3, 1, 1, new byte[] {-1, -1, -1});
    assertArrayEquals(new byte[] {-1}, CentreCropResizer.fit(white, new ImageShape(1, 1, 1)));
    RasterImage green = new RasterImage(3, 1, 1, new byte[] {0, -1, 0});
    assertEquals(150, CentreCropResizer.fit(green, new ImageShape(1, 1, 1))[0] & 255);
  }
}
