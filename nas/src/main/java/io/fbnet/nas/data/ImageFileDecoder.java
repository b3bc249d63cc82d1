package io.fbnet.nas.data;

import java.awt.image.BufferedImage;
import java.awt.image.ComponentSampleModel;
import java.awt.image.DataBuffer;
import java.awt.image.IndexColorModel;
import java.awt.image.Raster;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import javax.imageio.ImageIO;
import javax.imageio.ImageReader;
import javax.imageio.stream.MemoryCacheImageInputStream;

/**
 * JPEG, PNG, PGM and PPM to bytes; the content decides, not the file's name. Exif's orientation is
 * applied. Alpha is composited on white. Colour profiles are ignored, as the usual training
 * pipelines do. 16-bit samples are scaled to 8. CMYK is refused: without its profile the colours
 * would be a guess.
 *
 * <p>Used by one thread: the decoders of the JDK keep state.
 */
final class ImageFileDecoder implements AutoCloseable {
  private static final long MOST_PIXELS = 1L << 28;
  private static final long MOST_PIXELS_PER_BYTE = 512;

  private final ImageReader jpeg = ImageIO.getImageReadersByFormatName("JPEG").next();
  private final ImageReader png = ImageIO.getImageReadersByFormatName("PNG").next();
  private final List<String> warnings = new ArrayList<>();

  ImageFileDecoder() {
    jpeg.addIIOReadWarningListener((source, warning) -> warnings.add(warning));
    png.addIIOReadWarningListener((source, warning) -> warnings.add(warning));
  }

  /** Frees the JDK's decoders. */
  @Override
  public void close() {
    jpeg.dispose();
    png.dispose();
  }

  /** Decodes at the size stored. */
  RasterImage decode(byte[] content) throws BadImageException {
    if (JpegSegments.isJpeg(content)) {
      JpegSegments segments = JpegSegments.scan(content);
      if (segments.components() == 4) {
        throw new BadImageException(
            "is a CMYK JPEG; convert it to RGB, for example with 'magick in.jpg -colorspace sRGB"
                + " out.jpg'");
      }
      // A block of 8 x 8 pixels takes a bit at least; the decoder takes memory before it looks.
      if (segments.pixels() > MOST_PIXELS_PER_BYTE * content.length) {
        throw new BadImageException(
            "is a truncated JPEG: its "
                + content.length
                + " bytes cannot hold "
                + segments.pixels()
                + " pixels");
      }
      return read(jpeg, "JPEG", segments.stripped()).oriented(segments.orientation());
    }
    if (PngChunks.isPng(content)) {
      int orientation = PngChunks.check(content);
      return read(png, "PNG", content).oriented(orientation);
    }
    if (NetpbmImage.isNetpbm(content)) {
      return NetpbmImage.read(content);
    }
    throw new BadImageException(
        content.length == 0 ? "is empty" : "is none of JPEG, PNG, PGM and PPM, whatever its name");
  }

  /** Whether a file that begins so is of one of these kinds. */
  static boolean isImage(byte[] start) {
    return JpegSegments.isJpeg(start)
        || PngChunks.isPng(start)
        || NetpbmImage.isNetpbm(start) && start[1] >= '5' && start[2] <= ' ';
  }

  static void requireReasonable(long height, long width) throws BadImageException {
    if (height < 1
        || width < 1
        || height > MOST_PIXELS
        || width > MOST_PIXELS
        || height * width > MOST_PIXELS) {
      throw new BadImageException("has an impossible size, " + width + " x " + height + " pixels");
    }
  }

  private RasterImage read(ImageReader reader, String format, byte[] content)
      throws BadImageException {
    warnings.clear();
    try (MemoryCacheImageInputStream input =
        new MemoryCacheImageInputStream(new ByteArrayInputStream(content))) {
      reader.setInput(input, true, true);
      requireReasonable(reader.getHeight(0), reader.getWidth(0));
      BufferedImage image = reader.read(0);
      for (String warning : warnings) {
        // The decoder fills what is missing with grey and goes on; such an image must not pass.
        if (warning.contains("Premature end")) {
          throw new BadImageException("is a truncated " + format);
        }
        if (warning.contains("Corrupt") && !warning.contains("extraneous bytes")) {
          throw new BadImageException("is a corrupt " + format + " (" + warning + ")");
        }
      }
      return planes(image);
    } catch (IOException e) {
      String reason = e.getMessage() == null ? "it ends early" : e.getMessage();
      throw new BadImageException("is a corrupt or unsupported " + format + " (" + reason + ")", e);
    } catch (RuntimeException e) {
      // What the JDK's decoders trip over in a damaged file; their words tell its user nothing.
      throw new BadImageException("is a corrupt " + format, e);
    } finally {
      reader.setInput(null);
    }
  }

  private static RasterImage planes(BufferedImage image) {
    Raster raster = image.getRaster();
    int width = raster.getWidth();
    int height = raster.getHeight();
    if (image.getColorModel() instanceof IndexColorModel palette) {
      return fromPalette(raster, palette);
    }
    int bands = raster.getNumBands();
    int colours = bands <= 2 ? 1 : 3;
    boolean alpha = bands == 2 || bands == 4;
    int plane = width * height;
    byte[] planes = new byte[colours * plane];
    Rows rows = new Rows(raster);
    for (int y = 0; y < height; y++) {
      int[] row = rows.read(y);
      for (int x = 0; x < width; x++) {
        int opacity = alpha ? row[x * bands + bands - 1] : 255;
        for (int c = 0; c < colours; c++) {
          planes[c * plane + y * width + x] = onWhite(row[x * bands + c], opacity);
        }
      }
    }
    return new RasterImage(colours, height, width, planes);
  }

  private static RasterImage fromPalette(Raster raster, IndexColorModel palette) {
    int width = raster.getWidth();
    int height = raster.getHeight();
    int plane = width * height;
    byte[] planes = new byte[3 * plane];
    int[] row = new int[width];
    for (int y = 0; y < height; y++) {
      raster.getSamples(0, y, width, 1, 0, row);
      for (int x = 0; x < width; x++) {
        int at = y * width + x;
        int opacity = palette.getAlpha(row[x]);
        planes[at] = onWhite(palette.getRed(row[x]), opacity);
        planes[plane + at] = onWhite(palette.getGreen(row[x]), opacity);
        planes[2 * plane + at] = onWhite(palette.getBlue(row[x]), opacity);
      }
    }
    return new RasterImage(3, height, width, planes);
  }

  private static byte onWhite(int value, int opacity) {
    return (byte) (opacity == 255 ? value : (value * opacity + 255 * (255 - opacity) + 127) / 255);
  }

  /**
   * Samples of one row, interleaved, scaled to 0 to 255. They are taken from the raster itself: the
   * colour model would bend grey values through a linear grey colour space.
   */
  private static final class Rows {
    private final Raster raster;
    private final int[] row;
    private final byte[] bytes;
    private final int largest;
    private final boolean plainBytes;

    Rows(Raster raster) {
      this.raster = raster;
      int samples = raster.getWidth() * raster.getNumBands();
      row = new int[samples];
      bytes = new byte[samples];
      largest = (1 << raster.getSampleModel().getSampleSize(0)) - 1;
      plainBytes =
          raster.getTransferType() == DataBuffer.TYPE_BYTE
              && raster.getSampleModel() instanceof ComponentSampleModel;
    }

    int[] read(int y) {
      if (plainBytes) {
        raster.getDataElements(0, y, raster.getWidth(), 1, bytes);
        for (int i = 0; i < row.length; i++) {
          row[i] = bytes[i] & 255;
        }
        return row;
      }
      raster.getPixels(0, y, raster.getWidth(), 1, row);
      if (largest != 255) {
        for (int i = 0; i < row.length; i++) {
          row[i] = (int) (((long) row[i] * 255 + largest / 2) / largest);
        }
      }
      return row;
    }
  }
}
