package io.fbnet.nas.data;

/**
 * Mean and standard deviation of each channel on the scale 0 to 1. Counted in whole numbers first,
 * so that the result depends on neither order nor thread.
 */
final class ChannelStatistics {
  private final int plane;
  private final long[][] counts;
  private long pixels;

  ChannelStatistics(ImageShape shape) {
    plane = shape.height() * shape.width();
    counts = new long[shape.channels()][256];
  }

  static Normalisation of(ImageSet set) {
    ChannelStatistics statistics = new ChannelStatistics(set.shape());
    PixelBlocks.forEach(set, statistics::add);
    return statistics.normalisation();
  }

  /** Counts images that lie one behind the other. */
  void add(byte[] images, int count) {
    for (int i = 0; i < count; i++) {
      for (int c = 0; c < counts.length; c++) {
        long[] of = counts[c];
        int from = (i * counts.length + c) * plane;
        for (int p = from; p < from + plane; p++) {
          of[images[p] & 255]++;
        }
      }
    }
    pixels += (long) count * plane;
  }

  Normalisation normalisation() {
    float[] mean = new float[counts.length];
    float[] std = new float[counts.length];
    for (int c = 0; c < counts.length; c++) {
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
