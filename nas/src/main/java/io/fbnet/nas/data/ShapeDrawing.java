package io.fbnet.nas.data;

import java.util.List;

/**
 * Draws one shape or texture with random place, size, angle, colours and noise. Every image depends
 * on (seed, stream, image number) alone. Contrast has a random sign, so that no pixel by itself
 * tells the kind: it takes edges and their arrangement.
 */
final class ShapeDrawing {
  static final List<String> KINDS =
      List.of(
          "disc",
          "ring",
          "square",
          "triangle",
          "cross",
          "bar",
          "stripes",
          "checkerboard",
          "dots",
          "ripples");

  private static final double NOISE = 0.09;

  private final ImageShape shape;
  private final int stream;
  private final Philox philox;
  private final Philox noise;

  ShapeDrawing(ImageShape shape, long seed, int stream) {
    this.shape = shape;
    this.stream = stream;
    philox = new Philox(seed);
    noise = new Philox(seed);
  }

  /** Unsigned bytes, C x H x W. */
  byte[] draw(int image, int kind) {
    Draws draws = new Draws(image);
    double size = 0.42 + 0.43 * draws.next();
    double centreX = (draws.next() - 0.5) * 0.6;
    double centreY = (draws.next() - 0.5) * 0.6;
    double angle = draws.next() * 2 * Math.PI;
    double phase = draws.next();
    // StrictMath, so that pixels are equal on every machine.
    double cos = StrictMath.cos(angle);
    double sin = StrictMath.sin(angle);
    double[] ground = new double[3];
    double[] ink = new double[3];
    colours(draws, ground, ink);
    double tilt = (draws.next() - 0.5) * 0.4;
    int channels = shape.channels();
    int plane = shape.height() * shape.width();
    byte[] pixels = new byte[channels * plane];
    double pixel = 2.0 / Math.min(shape.height(), shape.width());
    for (int y = 0; y < shape.height(); y++) {
      for (int x = 0; x < shape.width(); x++) {
        double u = (x + 0.5 - shape.width() / 2.0) * pixel - centreX;
        double v = (y + 0.5 - shape.height() / 2.0) * pixel - centreY;
        double a = (u * cos + v * sin) / size;
        double b = (v * cos - u * sin) / size;
        double edge = distance(kind, a, b, phase) * size / pixel;
        double cover = Math.clamp(0.5 - edge, 0, 1);
        double light = tilt * (u + v) / 2;
        int at = y * shape.width() + x;
        noise.at(image, at, stream, DrawPurpose.SHAPES_NOISE);
        for (int c = 0; c < channels; c++) {
          double value = ground[c] + cover * (ink[c] - ground[c]) + light + noise(c);
          pixels[c * plane + at] = (byte) Math.clamp(Math.round(value * 255), 0, 255);
        }
      }
    }
    return pixels;
  }

  /** Nearly normal: the sum of a word's four bytes, centred and scaled. */
  private double noise(int channel) {
    int word = channel == 0 ? noise.w0 : channel == 1 ? noise.w1 : noise.w2;
    int sum = (word & 255) + (word >>> 8 & 255) + (word >>> 16 & 255) + (word >>> 24);
    return (sum - 510) * NOISE / 148;
  }

  private static void colours(Draws draws, double[] ground, double[] ink) {
    double base = 0.25 + 0.5 * draws.next();
    double contrast = (0.22 + 0.24 * draws.next()) * (draws.next() < 0.5 ? -1 : 1);
    for (int c = 0; c < 3; c++) {
      ground[c] = base + (draws.next() - 0.5) * 0.2;
      ink[c] = ground[c] + contrast + (draws.next() - 0.5) * 0.1;
    }
  }

  /** Signed distance to the figure's edge, negative inside, in units of the figure's size. */
  private static double distance(int kind, double a, double b, double phase) {
    double radius = Math.sqrt(a * a + b * b);
    return switch (kind) {
      case 0 -> radius - 0.75;
      case 1 -> Math.abs(radius - 0.65) - 0.17;
      case 2 -> Math.max(Math.abs(a), Math.abs(b)) - 0.65;
      case 3 -> Math.max(Math.abs(a) * 0.866 + b * 0.5, -b) - 0.45;
      case 4 ->
          Math.min(
              Math.max(Math.abs(a) - 0.8, Math.abs(b) - 0.2),
              Math.max(Math.abs(b) - 0.8, Math.abs(a) - 0.2));
      case 5 -> Math.max(Math.abs(a) - 0.9, Math.abs(b) - 0.25);
      case 6 -> 0.15 - wave(a + phase, 0.6);
      case 7 -> {
        double first = wave(a + phase, 0.9) - 0.225;
        double second = wave(b, 0.9) - 0.225;
        yield first > 0 == second > 0
            ? -Math.min(Math.abs(first), Math.abs(second))
            : Math.min(Math.abs(first), Math.abs(second));
      }
      case 8 -> {
        double across = wave(a + phase, 0.65);
        double along = wave(b, 0.65);
        yield Math.sqrt(across * across + along * along) - 0.2;
      }
      default -> 0.14 - wave(radius + phase, 0.56);
    };
  }

  /** Distance to the nearest multiple of a period. */
  private static double wave(double x, double period) {
    return Math.abs(x - period * Math.rint(x / period));
  }

  /** The image's own numbers between 0 and 1, four to a counter. */
  private final class Draws {
    private final int image;
    private int taken;

    Draws(int image) {
      this.image = image;
    }

    double next() {
      if (taken % 4 == 0) {
        philox.at(image, taken / 4, stream, DrawPurpose.SHAPES);
      }
      return Philox.unit(
          switch (taken++ % 4) {
            case 0 -> philox.w0;
            case 1 -> philox.w1;
            case 2 -> philox.w2;
            default -> philox.w3;
          });
    }
  }
}
