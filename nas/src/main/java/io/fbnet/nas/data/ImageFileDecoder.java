package io.fbnet.nas.data;

import com.twelvemonkeys.imageio.plugins.webp.WebPImageReaderSpi;
import java.awt.image.BufferedImage;
import java.awt.image.ComponentSampleModel;
import java.awt.image.DataBuffer;
import java.awt.image.IndexColorModel;
import java.awt.image.Raster;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import javax.imageio.ImageIO;
import javax.imageio.ImageReader;
import javax.imageio.stream.ImageInputStream;
import javax.imageio.stream.MemoryCacheImageInputStream;

/**
 * JPEG, PNG, PGM, PPM, WebP, TIFF and NumPy's arrays to pixels; the content decides, not the file's
 * name. Exif's orientation is applied. Alpha is composited on white. Colour profiles are ignored,
 * as the usual training pipelines do. 16-bit samples are scaled to 8 where bytes are wanted. CMYK
 * is refused: without its profile the colours would be a guess.
 *
 * <p>Used by one thread: the decoders of the JDK keep state.
 */
final class ImageFileDecoder implements AutoCloseable {
  /** What is read, in words. */
  static final String KINDS = "JPEG, PNG, PGM, PPM, WebP, TIFF and .npy";

  private static final long MOST_PIXELS = 1L << 28;
  private static final long MOST_PIXELS_PER_BYTE = 512;

  private final ImageReader jpeg = ImageIO.getImageReadersByFormatName("JPEG").next();
  private final ImageReader png = ImageIO.getImageReadersByFormatName("PNG").next();
  private Optional<ImageReader> webp = Optional.empty();
  private Optional<TiffReaders> tiff = Optional.empty();
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
    webp.ifPresent(ImageReader::dispose);
    tiff.ifPresent(TiffReaders::close);
  }

  /**
   * Decodes at the size stored.
   *
   * @param space what the image is for: how its pixels are kept, and which axis of an array has
   *     channels
   */
  RasterImage decode(byte[] content, ImageShape space) throws BadImageException {
    boolean deep = space.pixels() == PixelType.F32;
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
      return read(jpeg, "JPEG", memory(segments.stripped()), deep).oriented(segments.orientation());
    }
    if (PngChunks.isPng(content)) {
      int orientation = PngChunks.check(content);
      return read(png, "PNG", memory(content), deep).oriented(orientation);
    }
    if (NetpbmImage.isNetpbm(content)) {
      return NetpbmImage.read(content, deep);
    }
    if (WebpChunks.isWebp(content)) {
      int orientation = WebpChunks.check(content);
      webp = webp.or(() -> Optional.of(new WebPImageReaderSpi().createReaderInstance(null)));
      return read(webp.orElseThrow(), "WebP", WebpChunks.stream(content), deep)
          .oriented(orientation);
    }
    if (TiffPages.isTiff(content)) {
      tiff = tiff.or(() -> Optional.of(new TiffReaders()));
      return TiffImage.read(content, space, tiff.orElseThrow(), image -> planes(image, deep));
    }
    if (NpyArray.isNpy(content)) {
      return NpyArray.read(content, space);
    }
    throw new BadImageException(
        content.length == 0 ? "is empty" : "is none of " + KINDS + ", whatever its name");
  }

  /** Whether a file that begins so is of one of these kinds. */
  static boolean isImage(byte[] start) {
    return JpegSegments.isJpeg(start)
        || PngChunks.isPng(start)
        || NpyArray.isNpy(start)
        || WebpChunks.isWebp(start)
        || TiffPages.isTiff(start)
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

  private static ImageInputStream memory(byte[] content) {
    return new MemoryCacheImageInputStream(new ByteArrayInputStream(content));
  }

  private RasterImage read(ImageReader reader, String format, ImageInputStream input, boolean deep)
      throws BadImageException {
    warnings.clear();
    try (input) {
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
      return planes(image, deep);
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

  private static RasterImage planes(BufferedImage image, boolean deep) {
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
    Rows rows = new Rows(raster, deep);
    RasterImage out = RasterImage.empty(colours, height, width, rows.largest > 255);
    for (int y = 0; y < height; y++) {
      int[] row = rows.read(y);
      for (int x = 0; x < width; x++) {
        int opacity = alpha ? row[x * bands + bands - 1] : rows.largest;
        for (int c = 0; c < colours; c++) {
          int value = onWhite(row[x * bands + c], opacity, rows.largest);
          Samples.put(out, c * plane + y * width + x, value, rows.largest);
        }
      }
    }
    return out;
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
        planes[at] = (byte) onWhite(palette.getRed(row[x]), opacity, 255);
        planes[plane + at] = (byte) onWhite(palette.getGreen(row[x]), opacity, 255);
        planes[2 * plane + at] = (byte) onWhite(palette.getBlue(row[x]), opacity, 255);
      }
    }
    return new RasterImage(3, height, width, planes);
  }

  private static int onWhite(int value, int opacity, int largest) {
    long white = (long) largest * (largest - opacity);
    return opacity == largest
        ? value
        : (int) (((long) value * opacity + white + largest / 2) / largest);
  }

  /**
   * Samples of one row, interleaved, scaled to 0 to 255 unless they are to keep more bits. They are
   * taken from the raster itself: the colour model would bend grey values through a linear grey
   * colour space.
   */
  private static final class Rows {
    private final Raster raster;
    private final int[] row;
    private final byte[] bytes;
    private final int stored;
    private final boolean plainBytes;

    /** What samples reach: 255, or more where they keep more bits. */
    final int largest;

    Rows(Raster raster, boolean deep) {
      this.raster = raster;
      int samples = raster.getWidth() * raster.getNumBands();
      row = new int[samples];
      bytes = new byte[samples];
      stored = (1 << raster.getSampleModel().getSampleSize(0)) - 1;
      largest = deep ? Math.max(stored, 255) : 255;
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
      if (stored != largest) {
        for (int i = 0; i < row.length; i++) {
          row[i] = (int) (((long) row[i] * 255 + stored / 2) / stored);
        }
      }
      return row;
    }
  }
}
