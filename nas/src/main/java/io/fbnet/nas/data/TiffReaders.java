package io.fbnet.nas.data;

import com.twelvemonkeys.imageio.plugins.tiff.TIFFImageReaderSpi;
import java.util.Iterator;
import javax.imageio.ImageIO;
import javax.imageio.ImageReader;

/** Two decoders of TIFF. Used by one thread. */
final class TiffReaders implements AutoCloseable {
  private final ImageReader most = new TIFFImageReaderSpi().createReaderInstance(null);
  private final ImageReader apart;

  TiffReaders() {
    Iterator<ImageReader> all = ImageIO.getImageReadersByFormatName("TIFF");
    ImageReader found = all.next();
    while (!found.getClass().getName().startsWith("com.sun.")) {
      found = all.next();
    }
    apart = found;
  }

  /** TwelveMonkeys', which knows the most kinds. */
  ImageReader most() {
    return most;
  }

  /** The JDK's, for channels that lie apart: of more than four the other reads the first alone. */
  ImageReader apart() {
    return apart;
  }

  @Override
  public void close() {
    most.dispose();
    apart.dispose();
  }
}
