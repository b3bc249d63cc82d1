package io.fbnet.nas.data;

import java.awt.image.BufferedImage;
import java.awt.image.Raster;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.util.List;
import java.util.function.Function;
import javax.imageio.ImageReader;
import javax.imageio.stream.MemoryCacheImageInputStream;

/**
 * TIFF files of one page, or of one page a channel, as images: whole numbers of 8 and 16 bits and
 * 32-bit floats, of any number of samples, and what else one page of grey or colours is.
 */
final class TiffImage {
  private static final int WHITE_IS_ZERO = 0;
  private static final int COLOURS = 2;
  private static final int PALETTE = 3;
  private static final int CMYK = 5;
  private static final int YCBCR = 6;
  private static final int FLOATS = 3;

  private final byte[] content;
  private final List<TiffPages.Page> pages;
  private final TiffPages.Page first;
  private final ImageShape space;

  private TiffImage(byte[] content, ImageShape space) throws BadImageException {
    this.content = content;
    this.space = space;
    pages = TiffPages.of(content);
    first = pages.getFirst();
  }

  /**
   * Reads one.
   *
   * @param image what a decoded photograph becomes
   */
  static RasterImage read(
      byte[] content,
      ImageShape space,
      TiffReaders readers,
      Function<BufferedImage, RasterImage> image)
      throws BadImageException {
    TiffImage tiff = new TiffImage(content, space);
    tiff.requireChannels();
    try {
      RasterImage decoded =
          tiff.isPhotograph()
              ? image.apply(tiff.photograph(readers.most()))
              : tiff.numbers(readers);
      return decoded.oriented(tiff.first.orientation());
    } catch (IOException e) {
      String reason = e.getMessage() == null ? "it ends early" : e.getMessage();
      throw new BadImageException("is a corrupt or unsupported TIFF (" + reason + ")", e);
    } catch (RuntimeException e) {
      // What decoders trip over in a damaged file; their words tell its user nothing.
      throw new BadImageException("is a corrupt TIFF", e);
    }
  }

  /** Whether colours are to be made of samples. */
  private boolean isPhotograph() {
    return first.bits() < 8 || first.photometric() == PALETTE || first.photometric() == YCBCR;
  }

  private boolean hasAlpha() {
    boolean colours = first.samples() == (first.photometric() == COLOURS ? 4 : 2);
    return first.alpha() > 0 && colours && channels() != space.channels();
  }

  private int channels() {
    return pages.size() * first.samples();
  }

  private void requireChannels() throws BadImageException {
    for (TiffPages.Page page : pages) {
      if (!page.isLike(first)) {
        throw new BadImageException("is a TIFF whose pages have different sizes or kinds");
      }
    }
    int colours = isPhotograph() ? 3 : first.samples() - (hasAlpha() ? 1 : 0);
    boolean photograph = pages.size() == 1 && (colours == 1 || colours == 3);
    if (channels() != space.channels() && !(photograph && space.takesPhotographs())
        || pages.size() > 1 && isPhotograph()) {
      throw new BadImageException(
          "is a TIFF of "
              + (pages.size() == 1 ? "a page" : pages.size() + " pages")
              + " of "
              + first.samples()
              + (first.samples() == 1 ? " channel" : " channels")
              + ", and the space takes "
              + space.channels());
    }
    boolean known =
        first.photometric() >= WHITE_IS_ZERO && first.photometric() <= PALETTE
            || first.photometric() == YCBCR;
    if (!known) {
      throw new BadImageException(
          first.photometric() == CMYK
              ? "is a CMYK TIFF; convert it to RGB, for example with 'magick in.tif -colorspace"
                  + " sRGB out.tif'"
              : "is a TIFF of colours of the kind " + first.photometric() + "; save it as RGB");
    }
    boolean floats = first.format() == FLOATS && first.bits() == 32;
    boolean whole = first.format() == 1 && (first.bits() == 8 || first.bits() == 16);
    if (!floats && !whole && !(isPhotograph() && first.format() == 1)) {
      throw new BadImageException(
          "is a TIFF of "
              + first.bits()
              + "-bit "
              + (first.format() == FLOATS ? "floats" : first.format() == 2 ? "signed" : "samples")
              + "; unsigned ones of 8 and 16 bits and floats of 32 are read");
    }
    if (floats && space.pixels() == PixelType.U8) {
      throw new BadImageException(
          "holds floats, which bytes cannot keep; say --pixels f32, or save it in 8 bits");
    }
  }

  private BufferedImage photograph(ImageReader reader) throws IOException {
    try (MemoryCacheImageInputStream input = open()) {
      reader.setInput(input, false, true);
      return reader.read(first.index());
    } finally {
      reader.setInput(null);
    }
  }

  private MemoryCacheImageInputStream open() {
    return new MemoryCacheImageInputStream(new ByteArrayInputStream(content));
  }

  private RasterImage numbers(TiffReaders readers) throws IOException {
    ImageReader reader = readers.most();
    boolean deep = first.bits() > 8 && space.pixels() == PixelType.F32;
    RasterImage out = RasterImage.empty(channels(), first.height(), first.width(), deep);
    try (MemoryCacheImageInputStream input = open()) {
      reader.setInput(input, false, true);
      for (int p = 0; p < pages.size(); p++) {
        Raster raster = reader.readRaster(pages.get(p).index(), null);
        if (raster.getNumBands() != first.samples()) {
          raster = apart(readers.apart(), pages.get(p).index());
        }
        take(raster, out, p * first.samples(), pages.get(p).photometric() == WHITE_IS_ZERO);
      }
    } finally {
      reader.setInput(null);
    }
    return hasAlpha() ? onWhite(out) : out;
  }

  private Raster apart(ImageReader planar, int index) throws IOException {
    try (MemoryCacheImageInputStream input = open()) {
      planar.setInput(input, false, true);
      Raster raster = planar.read(index).getRaster();
      if (raster.getNumBands() != first.samples()) {
        throw new IOException("channels that lie apart; save a page a channel");
      }
      return raster;
    } finally {
      planar.setInput(null);
    }
  }

  private void take(Raster raster, RasterImage out, int channel, boolean inverted)
      throws IOException {
    if (raster.getWidth() != out.width || raster.getHeight() != out.height) {
      throw new IOException("its size is another than it says");
    }
    int largest = (1 << Math.min(first.bits(), 16)) - 1;
    float[] row = new float[out.width];
    int to = channel * out.height * out.width;
    for (int c = 0; c < first.samples(); c++) {
      for (int y = 0; y < out.height; y++) {
        raster.getSamples(0, y, out.width, 1, c, row);
        for (float value : row) {
          if (first.format() != FLOATS) {
            int whole = (int) value & largest;
            Samples.put(out, to, inverted ? largest - whole : whole, largest);
          } else if (Float.isFinite(value)) {
            out.numbers[to] = value;
          } else {
            throw new IOException("it holds " + value + ", which is no finite number");
          }
          to++;
        }
      }
    }
  }

  /** Colours over white by the last channel, which is left out. */
  private RasterImage onWhite(RasterImage image) {
    int colours = image.channels - 1;
    int plane = image.height * image.width;
    boolean multiplied = first.alpha() == 1;
    RasterImage out = RasterImage.empty(colours, image.height, image.width, image.isDeep());
    for (int i = 0; i < colours * plane; i++) {
      int alpha = colours * plane + i % plane;
      if (image.isDeep()) {
        float opacity = image.numbers[alpha];
        out.numbers[i] = image.numbers[i] * (multiplied ? 1 : opacity) + 1 - opacity;
      } else {
        int opacity = image.planes[alpha] & 255;
        int value = image.planes[i] & 255;
        int seen = (value * (multiplied ? 255 : opacity) + 127) / 255 + 255 - opacity;
        out.planes[i] = (byte) Math.min(seen, 255);
      }
    }
    return out;
  }
}
