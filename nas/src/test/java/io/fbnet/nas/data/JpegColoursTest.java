package io.fbnet.nas.data;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.awt.image.BufferedImage;
import java.awt.image.Raster;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.stream.Stream;
import javax.imageio.IIOImage;
import javax.imageio.ImageIO;
import javax.imageio.ImageReader;
import javax.imageio.ImageTypeSpecifier;
import javax.imageio.ImageWriter;
import javax.imageio.metadata.IIOMetadata;
import javax.imageio.metadata.IIOMetadataNode;
import javax.imageio.stream.MemoryCacheImageInputStream;
import javax.imageio.stream.MemoryCacheImageOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.w3c.dom.NodeList;

/**
 * Every way a JPEG may say how its colours are coded, against a second decoder: the samples as they
 * are stored, and the arithmetic of the JFIF standard.
 */
class JpegColoursTest {
  private static final int SIDE = 32;

  private static final String JFIF = "ffe000104a46494600010100000100010000";
  private static final String EXIF = "ffe100124578696600004d4d002a000000080000";

  /** What precedes the frame, the components' numbers, and whether others read it as RGB. */
  record Kind(String name, String segments, String ids, boolean rgb) {}

  private static String adobe(int transform) {
    return "ffee000e41646f62650064000000000" + transform;
  }

  static Stream<Kind> kinds() {
    return Stream.of(
        new Kind("JFIF", JFIF, "010203", false),
        new Kind("JFIF, numbers from 0", JFIF, "000102", false),
        new Kind("JFIF, called RGB", JFIF, "524742", false),
        new Kind("JFIF before Adobe 0", JFIF + adobe(0), "010203", false),
        new Kind("Adobe 0 before JFIF", adobe(0) + JFIF, "010203", false),
        new Kind("JFIF and Exif", JFIF + EXIF, "010203", false),
        new Kind("Adobe 0", adobe(0), "010203", true),
        new Kind("Adobe 0, numbers from 0", adobe(0), "000102", true),
        new Kind("Adobe 1", adobe(1), "010203", false),
        new Kind("Adobe 1, called RGB", adobe(1), "524742", false),
        new Kind("Adobe 2", adobe(2), "010203", false),
        new Kind("nothing", "", "010203", false),
        new Kind("nothing, numbers from 0", "", "000102", false),
        new Kind("nothing, called RGB", "", "524742", true),
        new Kind("nothing, called YCc", "", "594363", false),
        new Kind("nothing, odd numbers", "", "012223", false),
        new Kind("nothing, others", "", "070809", false),
        new Kind("Exif, numbers from 0", EXIF, "000102", false),
        new Kind("Exif, called RGB", EXIF, "524742", true));
  }

  @ParameterizedTest
  @MethodSource("kinds")
  void coloursAreThoseThatOthersSee(Kind kind) throws Exception {
    for (boolean halved : new boolean[] {false, true}) {
      for (boolean progressive : new boolean[] {false, true}) {
        byte[] plain = encoded(halved, progressive);
        byte[] file = changed(plain, kind);
        try (ImageFileDecoder decoder = new ImageFileDecoder()) {
          RasterImage image = decoder.decode(file, new ImageShape(3, 8, 8));
          assertEquals(3, image.channels);
          Raster stored = stored(plain);
          for (int i = 0; i < SIDE * SIDE; i++) {
            int[] expected = stored.getPixel(i % SIDE, i / SIDE, (int[]) null);
            if (!kind.rgb()) {
              expected = rgb(expected[0], expected[1], expected[2]);
            }
            for (int c = 0; c < 3; c++) {
              int actual = image.planes[c * SIDE * SIDE + i] & 255;
              assertEquals(expected[c], actual, 2, kind + ", pixel " + i + ", halved " + halved);
            }
          }
        }
      }
    }
  }

  @Test
  void aGreyJpegIsGreyWhateverItsComponentIsCalled() throws Exception {
    BufferedImage grey = new BufferedImage(8, 8, BufferedImage.TYPE_BYTE_GRAY);
    int[] values = new int[64];
    java.util.Arrays.setAll(values, i -> 3 * i + 20);
    byte[] jpeg = TestFiles.encode(TestFiles.samples(grey, values), "jpeg");
    byte[] file = changed(jpeg, new Kind("grey", "", "52", false));
    try (ImageFileDecoder decoder = new ImageFileDecoder()) {
      RasterImage image = decoder.decode(file, new ImageShape(3, 8, 8));
      assertEquals(1, image.channels);
      assertEquals(20 + 3 * 9, image.planes[9] & 255, 12);
    }
  }

  private static int[] rgb(int y, int cb, int cr) {
    return new int[] {
      clamp(y + 1.402 * (cr - 128)),
      clamp(y - 0.344136 * (cb - 128) - 0.714136 * (cr - 128)),
      clamp(y + 1.772 * (cb - 128))
    };
  }

  private static int clamp(double value) {
    return (int) Math.clamp(Math.round(value), 0L, 255L);
  }

  /** The samples without any change of colours, which no rule of the JDK's touches. */
  private static Raster stored(byte[] jpeg) throws IOException {
    ImageReader reader = ImageIO.getImageReadersByFormatName("JPEG").next();
    try (var input = new MemoryCacheImageInputStream(new ByteArrayInputStream(jpeg))) {
      reader.setInput(input);
      return reader.readRaster(0, null);
    } finally {
      reader.dispose();
    }
  }

  /** An image of soft colours with JFIF's segment, its colours in full or half size. */
  private static byte[] encoded(boolean halved, boolean progressive) throws IOException {
    BufferedImage image = new BufferedImage(SIDE, SIDE, BufferedImage.TYPE_INT_RGB);
    for (int i = 0; i < SIDE * SIDE; i++) {
      int x = i % SIDE;
      int y = i / SIDE;
      image.setRGB(x, y, (60 + 4 * x) << 16 | (200 - 4 * y) << 8 | (90 + x + y));
    }
    ImageWriter writer = ImageIO.getImageWritersByFormatName("JPEG").next();
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    try (var output = new MemoryCacheImageOutputStream(out)) {
      writer.setOutput(output);
      var parameters = writer.getDefaultWriteParam();
      if (progressive) {
        parameters.setProgressiveMode(javax.imageio.ImageWriteParam.MODE_DEFAULT);
      }
      IIOMetadata metadata =
          writer.getDefaultImageMetadata(new ImageTypeSpecifier(image), parameters);
      if (!halved) {
        IIOMetadataNode root =
            (IIOMetadataNode) metadata.getAsTree(metadata.getNativeMetadataFormatName());
        NodeList components = root.getElementsByTagName("componentSpec");
        ((IIOMetadataNode) components.item(0)).setAttribute("HsamplingFactor", "1");
        ((IIOMetadataNode) components.item(0)).setAttribute("VsamplingFactor", "1");
        metadata.setFromTree(metadata.getNativeMetadataFormatName(), root);
      }
      writer.write(metadata, new IIOImage(image, null, metadata), parameters);
    } finally {
      writer.dispose();
    }
    return out.toByteArray();
  }

  /** The same entropy-coded data under other segments and component numbers. */
  private static byte[] changed(byte[] jpeg, Kind kind) {
    byte[] ids = HexFormat.of().parseHex(kind.ids());
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    out.write(jpeg, 0, 2);
    out.writeBytes(HexFormat.of().parseHex(kind.segments()));
    int at = 2;
    int scans = 0;
    while (at + 4 <= jpeg.length) {
      int marker = jpeg[at + 1] & 255;
      if ((jpeg[at] & 255) != 0xFF || marker == 0 || marker == 0xD9) {
        out.write(jpeg[at++]);
        continue;
      }
      int length = (jpeg[at + 2] & 255) << 8 | jpeg[at + 3] & 255;
      byte[] segment = java.util.Arrays.copyOfRange(jpeg, at, at + 2 + length);
      if (marker == 0xC0 || marker == 0xC2) {
        for (int c = 0; c < ids.length; c++) {
          segment[10 + 3 * c] = ids[c];
        }
      }
      if (marker == 0xDA) {
        scans++;
        for (int c = 0; c < segment[4]; c++) {
          // The encoder numbers components from 1.
          segment[5 + 2 * c] = ids[segment[5 + 2 * c] - 1];
        }
      }
      if (marker != 0xE0) {
        out.writeBytes(segment);
      }
      at += segment.length;
    }
    out.write(jpeg, at, jpeg.length - at);
    assertTrue(scans > 0, new String(jpeg, StandardCharsets.ISO_8859_1));
    return out.toByteArray();
  }
}
