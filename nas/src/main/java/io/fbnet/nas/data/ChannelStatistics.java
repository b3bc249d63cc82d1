package io.fbnet.nas.data;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;

/** Mean and standard deviation of each channel. The result depends on no thread. */
abstract sealed class ChannelStatistics {
  final int channels;
  final int plane;

  private ChannelStatistics(ImageShape shape) {
    channels = shape.channels();
    plane = shape.height() * shape.width();
  }

  static ChannelStatistics over(ImageShape shape) {
    return shape.pixels() == PixelType.F32 ? new OfNumbers(shape) : new OfBytes(shape);
  }

  static Normalisation of(ImageSet set) {
    ChannelStatistics statistics = over(set.shape());
    PixelBlocks.forEach(set, statistics::add);
    return statistics.normalisation();
  }

  /** Counts images that lie one behind the other. */
  abstract void add(byte[] images, int count);

  abstract Normalisation normalisation();

  /** On the scale 0 to 1. Counted in whole numbers first, so that no order matters. */
  private static final class OfBytes extends ChannelStatistics {
    private final long[][] counts;
    private long pixels;

    OfBytes(ImageShape shape) {
      super(shape);
      counts = new long[channels][256];
    }

    @Override
    void add(byte[] images, int count) {
      for (int i = 0; i < count; i++) {
        for (int c = 0; c < channels; c++) {
          long[] of = counts[c];
          int from = (i * channels + c) * plane;
          for (int p = from; p < from + plane; p++) {
            of[images[p] & 255]++;
          }
        }
      }
      pixels += (long) count * plane;
    }

    @Override
    Normalisation normalisation() {
      float[] mean = new float[channels];
      float[] std = new float[channels];
      for (int c = 0; c < channels; c++) {
        double sum = 0;
        for (int v = 0; v < 256; v++) {
          sum += (double) counts[c][v] * v;
        }
        double average = pixels == 0 ? 0 : sum / pixels;
        double squares = 0;
        for (int v = 0; v < 256; v++) {
          squares += counts[c][v] * (v - average) * (v - average);
        }
        mean[c] = (float) (average / 255);
        // A channel of one single value would otherwise be divided by zero.
        std[c] = (float) Math.max(1 / 255.0, Math.sqrt(pixels == 0 ? 0 : squares / pixels) / 255);
      }
      return Normalisation.of(mean, std);
    }
  }

  /**
   * On the scale that numbers have. Each image's mean and squares are merged into those of the
   * images before it, which loses nothing where numbers lie far from 0; images come in one order.
   */
  private static final class OfNumbers extends ChannelStatistics {
    private final double[] mean;
    private final double[] squares;
    private long images;

    OfNumbers(ImageShape shape) {
      super(shape);
      mean = new double[channels];
      squares = new double[channels];
    }

    @Override
    void add(byte[] bytes, int count) {
      FloatBuffer numbers = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer();
      for (int i = 0; i < count; i++) {
        images++;
        for (int c = 0; c < channels; c++) {
          merge(numbers, (i * channels + c) * plane, c);
        }
      }
    }

    private void merge(FloatBuffer numbers, int from, int c) {
      double sum = 0;
      for (int p = from; p < from + plane; p++) {
        sum += numbers.get(p);
      }
      double own = sum / plane;
      double ownSquares = 0;
      for (int p = from; p < from + plane; p++) {
        double off = numbers.get(p) - own;
        ownSquares += off * off;
      }
      double apart = own - mean[c];
      mean[c] += apart / images;
      squares[c] += ownSquares + apart * apart * plane * (images - 1) / images;
    }

    @Override
    Normalisation normalisation() {
      float[] means = new float[channels];
      float[] std = new float[channels];
      for (int c = 0; c < channels; c++) {
        means[c] = (float) mean[c];
        std[c] = images == 0 ? 1 : (float) Math.sqrt(squares[c] / ((double) images * plane));
        // A channel of one single value would otherwise be divided by zero.
        std[c] = std[c] == 0 ? 1 : std[c];
      }
      return Normalisation.of(means, std).with(PixelType.F32);
    }
  }
}
