package io.fbnet.nas.data;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;

import java.lang.foreign.MemorySegment;

/**
 * Mean and standard deviation of each channel on the scale 0 to 1. Counted in whole numbers first,
 * so that the result depends on neither order nor thread.
 */
final class ChannelStatistics {
  private ChannelStatistics() {}

  static Normalisation of(ImageSet set) {
    int plane = set.height() * set.width();
    long[][] counts = new long[set.channels()][256];
    byte[] image = new byte[set.shape().elements()];
    MemorySegment pixels = set.pixels();
    for (int i = 0; i < set.size(); i++) {
      MemorySegment.copy(pixels, JAVA_BYTE, (long) i * image.length, image, 0, image.length);
      for (int c = 0; c < counts.length; c++) {
        long[] count = counts[c];
        for (int p = c * plane; p < (c + 1) * plane; p++) {
          count[image[p] & 255]++;
        }
      }
    }
    float[] mean = new float[counts.length];
    float[] std = new float[counts.length];
    double total = (double) set.size() * plane;
    for (int c = 0; c < counts.length; c++) {
      double sum = 0;
      for (int v = 0; v < 256; v++) {
        sum += (double) counts[c][v] * v;
      }
      double average = total == 0 ? 0 : sum / total;
      double squares = 0;
      for (int v = 0; v < 256; v++) {
        squares += counts[c][v] * (v - average) * (v - average);
      }
      mean[c] = (float) (average / 255);
      // A channel of one single value would otherwise be divided by zero.
      std[c] = (float) Math.max(1 / 255.0, Math.sqrt(total == 0 ? 0 : squares / total) / 255);
    }
    return Normalisation.of(mean, std);
  }
}
