package io.fbnet.nas.data;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;

/**
 * Scales an image until it just covers the target and cuts out the centre. Bilinear: a triangle
 * filter, one target pixel wide at least, so that shrinking averages over all source pixels.
 */
final class CentreCropResizer {
  private CentreCropResizer() {}

  /**
   * The bytes of an image of {@code shape}; grey is repeated for colour, colour becomes luma for
   * grey.
   *
   * @throws BadImageException where it has another number of channels than these
   */
  static byte[] fit(RasterImage image, ImageShape shape) throws BadImageException {
    boolean photograph = image.channels == 1 || image.channels == 3;
    if (image.channels != shape.channels() && !(photograph && shape.takesPhotographs())) {
      throw new BadImageException(
          "has " + image.channels + " channels, and the space takes " + shape.channels());
    }
    RasterImage source = shape.channels() == 1 ? image.grey() : image;
    byte[] out = new byte[shape.bytes()];
    int plane = shape.height() * shape.width() * shape.pixels().bytes();
    double scale =
        Math.min((double) source.height / shape.height(), (double) source.width / shape.width());
    Axis rows = new Axis(source.height, shape.height(), scale);
    Axis columns = new Axis(source.width, shape.width(), scale);
    for (int c = 0; c < source.channels; c++) {
      resample(source, c, rows, columns, ByteBuffer.wrap(out, c * plane, plane), shape.pixels());
    }
    for (int c = source.channels; c < shape.channels(); c++) {
      System.arraycopy(out, 0, out, c * plane, plane);
    }
    return out;
  }

  private static void resample(
      RasterImage source, int channel, Axis rows, Axis columns, ByteBuffer out, PixelType type) {
    out.order(ByteOrder.LITTLE_ENDIAN);
    float scale = source.isDeep() ? 1 : 255;
    int top = rows.first[0];
    int last = rows.size - 1;
    int bottom = rows.first[last] + rows.weights[last].length;
    float[] narrowed = new float[(bottom - top) * columns.size];
    float[] pixels = new float[source.width];
    for (int y = top; y < bottom; y++) {
      source.row(channel, y, pixels);
      for (int x = 0; x < columns.size; x++) {
        float[] weights = columns.weights[x];
        int start = columns.first[x];
        float sum = 0;
        for (int k = 0; k < weights.length; k++) {
          sum += weights[k] * pixels[start + k];
        }
        narrowed[(y - top) * columns.size + x] = sum;
      }
    }
    float[] row = new float[columns.size];
    for (int y = 0; y < rows.size; y++) {
      Arrays.fill(row, 0);
      float[] weights = rows.weights[y];
      for (int k = 0; k < weights.length; k++) {
        int from = (rows.first[y] - top + k) * columns.size;
        for (int x = 0; x < row.length; x++) {
          row[x] += weights[k] * narrowed[from + x];
        }
      }
      for (float value : row) {
        if (type == PixelType.F32) {
          out.putFloat(value / scale);
        } else {
          out.put((byte) Math.clamp(Math.round(value), 0, 255));
        }
      }
    }
  }

  /** For each target position: the first source position and the weights from there on. */
  private static final class Axis {
    final int size;
    final int[] first;
    final float[][] weights;

    Axis(int sourceSize, int targetSize, double scale) {
      size = targetSize;
      first = new int[targetSize];
      weights = new float[targetSize][];
      double start = (sourceSize - scale * targetSize) / 2;
      if (scale == 1) {
        // A plain crop: half a pixel would blur what needs no scaling.
        start = Math.floor(start);
      }
      double radius = Math.max(1, scale);
      for (int i = 0; i < targetSize; i++) {
        double centre = start + (i + 0.5) * scale;
        int low = Math.max(0, (int) Math.ceil(centre - radius - 0.5));
        int high = Math.min(sourceSize - 1, (int) Math.floor(centre + radius - 0.5));
        double sum = 0;
        for (int j = low; j <= high; j++) {
          sum += weight(j, centre, radius);
        }
        first[i] = low;
        weights[i] = new float[high - low + 1];
        for (int j = low; j <= high; j++) {
          weights[i][j - low] = (float) (weight(j, centre, radius) / sum);
        }
      }
    }

    private static double weight(int j, double centre, double radius) {
      return Math.max(0, 1 - Math.abs(j + 0.5 - centre) / radius);
    }
  }
}
