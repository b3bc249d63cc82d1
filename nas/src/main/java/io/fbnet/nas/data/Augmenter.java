package io.fbnet.nas.data;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.function.Supplier;
import java.util.stream.IntStream;

/**
 * Changes the pixels of a batch as an {@link Augmentation} says, images beside each other on the
 * common pool. What happens to an image depends on (seed, stream, epoch, image) alone. Safe to
 * share.
 */
final class Augmenter {
  /** How often a rectangle is drawn before the middle is taken. */
  private static final int TRIES = 10;

  /** How often shares are drawn before halves are taken; it does not come to that. */
  private static final int MIXUP_TRIES = 64;

  private static final double LEAST_RATIO = 3.0 / 4;
  private static final double MOST_RATIO = 4.0 / 3;

  /** In which of the three orders of colours' operations; a row each. */
  private static final int[][] ORDERS = {
    {0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}
  };

  private final Augmentation augmentation;
  private final ImageShape shape;
  private final Supplier<Canvas> canvas;
  private final long seed;
  private final int stream;
  private final ConcurrentLinkedQueue<Canvas> canvases = new ConcurrentLinkedQueue<>();

  /**
   * For images of a shape.
   *
   * @param canvas makes one for such images
   */
  Augmenter(
      Augmentation augmentation, ImageShape shape, Supplier<Canvas> canvas, long seed, int stream) {
    this.augmentation = augmentation;
    this.shape = shape;
    this.canvas = canvas;
    this.seed = seed;
    this.stream = stream;
  }

  /** A part of an image. */
  record Rectangle(int top, int left, int rows, int columns) {
    /**
     * The rectangle that four words draw.
     *
     * @param words area, ratio, top and left
     * @return null where it does not fit into the image
     */
    static Rectangle drawn(Philox words, double leastArea, int height, int width) {
      double area = height * (double) width * (leastArea + Philox.unit(words.w0) * (1 - leastArea));
      double low = StrictMath.log(LEAST_RATIO);
      double high = StrictMath.log(MOST_RATIO);
      double ratio = StrictMath.exp(low + Philox.unit(words.w1) * (high - low));
      int rows = (int) Math.round(Math.sqrt(area / ratio));
      int columns = (int) Math.round(Math.sqrt(area * ratio));
      if (rows < 1 || columns < 1 || rows > height || columns > width) {
        return null;
      }
      return new Rectangle(
          Philox.below(words.w2, height - rows + 1),
          Philox.below(words.w3, width - columns + 1),
          rows,
          columns);
    }

    /** The largest in the middle whose ratio is allowed. */
    static Rectangle middle(int height, int width) {
      double ratio = Math.clamp((double) width / height, LEAST_RATIO, MOST_RATIO);
      int rows = Math.clamp(Math.round(width / ratio), 1, height);
      int columns = Math.clamp(Math.round(height * ratio), 1, width);
      return new Rectangle((height - rows) / 2, (width - columns) / 2, rows, columns);
    }
  }

  /**
   * Changes all images of a batch, which lie one after the other.
   *
   * @param batch of each its number, and above that number's 32 bits how often the epoch had it
   */
  void apply(MemorySegment images, long[] batch, int epoch) {
    IntStream.range(0, batch.length)
        .parallel()
        .forEach(i -> apply(images, (long) i * shape.bytes(), batch[i], epoch));
  }

  private void apply(MemorySegment images, long at, long drawn, int epoch) {
    Canvas free = canvases.poll();
    Canvas used = free == null ? canvas.get() : free;
    used.read(images, at);
    Philox words = new Philox(seed);
    place(used, words, drawn, epoch);
    if (used instanceof PixelCanvas bytes) {
      colour(bytes, words, drawn, epoch);
    }
    if (augmentation.cutout() > 0) {
      at(words, drawn, epoch, DrawPurpose.CUTOUT);
      used.cutOut(
          Philox.below(words.w0, shape.height()),
          Philox.below(words.w1, shape.width()),
          augmentation.cutout());
    }
    // Else a window says it, and the device does it.
    boolean mirrors = augmentation.mixup() > 0 || shape.pixels() == PixelType.F32;
    if (mirrors
        && augmentation.horizontalFlip()
        && BatchFiller.draw(words, drawn, epoch, stream).w3 < 0) {
      used.mirror();
    }
    used.write(images, at);
    canvases.add(used);
  }

  private void place(Canvas canvas, Philox words, long drawn, int epoch) {
    switch (augmentation.crop()) {
      case Augmentation.Padded padded -> {
        Window window =
            Window.drawn(BatchFiller.draw(words, drawn, epoch, stream), padded.pixels(), false);
        if (window.down() != 0 || window.right() != 0) {
          canvas.window(window.down(), window.right());
        }
      }
      case Augmentation.Resized resized -> {
        Rectangle seen = rectangle(words, resized.leastArea(), drawn, epoch);
        canvas.resized(seen.top(), seen.left(), seen.rows(), seen.columns());
      }
    }
  }

  private void colour(PixelCanvas canvas, Philox words, long drawn, int epoch) {
    if (augmentation.jitter() > 0) {
      jitter(canvas, at(words, drawn, epoch, DrawPurpose.JITTER));
    }
    double strength = augmentation.randAugment().magnitude() / Augmentation.RandAugment.MOST;
    for (int k = 0; k < augmentation.randAugment().operations(); k++) {
      at(words, drawn, epoch, DrawPurpose.RAND_AUGMENT + k);
      RandOperation.drawn(words.w0).apply(canvas, strength, words.w1 < 0);
    }
  }

  /**
   * Mixes images with those that follow them.
   *
   * @param from images, one more than there are shares
   * @param to where the mixtures go
   * @param shares of each image in its mixture
   */
  void mix(MemorySegment from, MemorySegment to, float[] shares) {
    int elements = shape.elements();
    if (shape.pixels() == PixelType.F32) {
      IntStream.range(0, shares.length).parallel().forEach(i -> mixNumbers(from, to, i, shares[i]));
      return;
    }
    IntStream.range(0, shares.length)
        .parallel()
        .forEach(
            i -> {
              long at = (long) i * elements;
              byte[] both = from.asSlice(at, 2L * elements).toArray(ValueLayout.JAVA_BYTE);
              for (int k = 0; k < elements; k++) {
                float first = both[k] & 255;
                float second = both[elements + k] & 255;
                both[k] = (byte) (second + shares[i] * (first - second) + 0.5f);
              }
              MemorySegment.copy(both, 0, to, ValueLayout.JAVA_BYTE, at, elements);
            });
  }

  private void mixNumbers(MemorySegment from, MemorySegment to, int image, float share) {
    long elements = shape.elements();
    for (long k = image * elements; k < (image + 1) * elements; k++) {
      float first = from.getAtIndex(ValueLayout.JAVA_FLOAT, k);
      float second = from.getAtIndex(ValueLayout.JAVA_FLOAT, k + elements);
      to.setAtIndex(ValueLayout.JAVA_FLOAT, k, second + share * (first - second));
    }
  }

  /** The share that an image has in its mixture, of Beta(mixup, mixup), by Joehnk's method. */
  float share(long drawn, int epoch) {
    Philox words = new Philox(seed);
    for (int attempt = 0; attempt < MIXUP_TRIES; attempt++) {
      at(words, drawn, epoch, DrawPurpose.MIXUP + attempt);
      double x = StrictMath.log(inside(words.w0)) / augmentation.mixup();
      double y = StrictMath.log(inside(words.w1)) / augmentation.mixup();
      if (StrictMath.exp(x) + StrictMath.exp(y) <= 1) {
        return (float) (1 / (1 + StrictMath.exp(y - x)));
      }
    }
    return 0.5f;
  }

  /** A number between 0 and 1, neither included. */
  private static double inside(int word) {
    return Philox.unit(word) + 0x1p-33;
  }

  /** The words for a purpose, others each time that the epoch has the image. */
  private Philox at(Philox words, long drawn, int epoch, int purpose) {
    int before = (int) (drawn >>> 32);
    return words.at((int) drawn, epoch, stream ^ before << 16, purpose);
  }

  private Rectangle rectangle(Philox words, double leastArea, long drawn, int epoch) {
    for (int attempt = 0; attempt < TRIES; attempt++) {
      at(words, drawn, epoch, DrawPurpose.RESIZED_CROP + attempt);
      Rectangle found = Rectangle.drawn(words, leastArea, shape.height(), shape.width());
      if (found != null) {
        return found;
      }
    }
    return Rectangle.middle(shape.height(), shape.width());
  }

  private void jitter(PixelCanvas canvas, Philox words) {
    double[] factors = {factor(words.w0), factor(words.w1), factor(words.w2)};
    for (int operation : ORDERS[Philox.below(words.w3, ORDERS.length)]) {
      switch (operation) {
        case 0 -> canvas.brightness(factors[0]);
        case 1 -> canvas.contrast(factors[1]);
        default -> canvas.saturation(factors[2]);
      }
    }
  }

  private double factor(int word) {
    return 1 + augmentation.jitter() * (2 * Philox.unit(word) - 1);
  }
}
