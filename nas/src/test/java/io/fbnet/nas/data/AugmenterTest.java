package io.fbnet.nas.data;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.nas.data.Augmentation.Padded;
import io.fbnet.nas.data.Augmentation.RandAugment;
import io.fbnet.nas.data.Augmentation.Resized;
import io.fbnet.nas.data.Augmenter.Rectangle;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;

/** What augmentations draw: exactly at given words, and in the mean over many. */
class AugmenterTest {
  private static final long SEED = 20261129;
  private static final int DRAWS = 20_000;

  /** Standard errors that a mean may be off by. */
  private static final double FAR = 5;

  private static Philox words(int w0, int w1, int w2, int w3) {
    Philox words = new Philox(0);
    words.w0 = w0;
    words.w1 = w1;
    words.w2 = w2;
    words.w3 = w3;
    return words;
  }

  @Test
  void aRectangleIsWhatItsWordsSay() {
    // A quarter of the area, 3 to 4: rows sqrt(2500 / 0.75), columns sqrt(2500 x 0.75).
    assertEquals(new Rectangle(42, 0, 58, 43), Rectangle.drawn(words(0, 0, -1, 0), 0.25, 100, 100));
    // Half of what words reach: area 0.625, ratio 1.
    assertEquals(
        new Rectangle(11, 5, 79, 79),
        Rectangle.drawn(words(1 << 31, 1 << 31, 1 << 31, 1 << 30), 0.25, 100, 100));
    assertNull(Rectangle.drawn(words(-1, 0, 0, 0), 0.25, 100, 100), "higher than the image");
    assertEquals(new Rectangle(0, 0, 9, 9), Rectangle.middle(9, 9));
    assertEquals(new Rectangle(0, 32, 48, 64), Rectangle.middle(48, 128));
    assertEquals(new Rectangle(32, 0, 64, 48), Rectangle.middle(128, 48));
  }

  @Test
  void rectanglesHaveTheMomentsOfTheirDefinition() {
    Philox words = new Philox(SEED);
    Moments area = new Moments();
    Moments ratio = new Moments();
    Moments down = new Moments();
    Moments right = new Moments();
    for (int i = 0; i < DRAWS; i++) {
      words.at(i, 1, 2, 3);
      // The lower half of areas always fits.
      words.w0 >>>= 1;
      Rectangle drawn = Rectangle.drawn(words, 0.08, 1000, 1000);
      area.add(drawn.rows() * (double) drawn.columns() / 1e6);
      ratio.add(Math.log((double) drawn.columns() / drawn.rows()));
      down.add(drawn.top() / (1000.0 - drawn.rows()));
      right.add(drawn.left() / (1000.0 - drawn.columns()));
    }
    area.requireUniform("area", 0.08, 0.54);
    ratio.requireUniform("ratio", Math.log(0.75), Math.log(4.0 / 3));
    down.requireUniform("top", 0, 1);
    right.requireUniform("left", 0, 1);
  }

  @Test
  void jitterHasTheMomentsOfItsDefinition() {
    // Contrast and saturation leave one grey as it is.
    Moments moments = new Moments();
    for (byte pixel :
        augmented(new Augmentation(new Padded(0), false, 0.4, RandAugment.NONE, 0, 0))) {
      moments.add((pixel & 255) / 100.0);
    }
    moments.requireUniform("brightness", 0.6, 1.4);
  }

  @Test
  void cutoutHidesWhatItsDefinitionSays() {
    int side = 3;
    Moments hidden = new Moments();
    byte[] images =
        augmented(new Augmentation(new Padded(0), false, 0, RandAugment.NONE, side, 0), 5, 4);
    for (int i = 0; i < images.length; i += 20) {
      int count = 0;
      for (int k = i; k < i + 20; k++) {
        count += images[k] == 100 ? 0 : 1;
      }
      hidden.add(count);
    }
    // Of five rows as many as lie within one of the centre: 2, 3, 3, 3, 2; of four columns
    // likewise.
    hidden.requireMean("hidden pixels", 13 / 5.0 * 10 / 4.0);
  }

  @Test
  void eachOperationOfRandAugmentIsAsLikely() {
    int[] counts = new int[RandOperation.values().length];
    Philox words = new Philox(SEED);
    for (int i = 0; i < DRAWS; i++) {
      RandOperation drawn = RandOperation.drawn(words.at(i, 0, 0, 0).w0);
      counts[List.of(RandOperation.values()).indexOf(drawn)]++;
    }
    double expected = (double) DRAWS / counts.length;
    for (int count : counts) {
      assertEquals(expected, count, FAR * Math.sqrt(expected), Arrays.toString(counts) + seed());
    }
  }

  @Test
  void strengthsAreThoseOfTheDefinition() {
    ImageShape shape = new ImageShape(1, 1, 331);
    byte[] ramp = new byte[331];
    for (int i = 0; i < ramp.length; i++) {
      ramp[i] = (byte) (i / 2);
    }
    assertEquals(ramp[0], operated(shape, ramp, RandOperation.MOVE_RIGHT, 1, false)[150]);
    assertEquals(ramp[150], operated(shape, ramp, RandOperation.MOVE_RIGHT, 1, true)[0]);
    assertEquals(100, operated(shape, ramp, RandOperation.BRIGHTNESS, 1, false)[105] & 255, 1);
    assertEquals(10, operated(shape, ramp, RandOperation.BRIGHTNESS, 1, true)[200] & 255);
    assertEquals(0x60, operated(shape, ramp, RandOperation.POSTERISE, 1, false)[220] & 255);
    assertEquals(0x6e, operated(shape, ramp, RandOperation.POSTERISE, 0, false)[220] & 255);
    assertEquals(255 - 110, operated(shape, ramp, RandOperation.SOLARISE, 0.75, false)[220] & 255);
    assertArrayEquals(ramp, operated(shape, ramp, RandOperation.SOLARISE, 0.25, false));
    // 30 degrees from the middle of 41 x 41: 20 to the right becomes 17.3 right, 10 up or down.
    ImageShape square = new ImageShape(1, 41, 41);
    byte[] spot = new byte[41 * 41];
    spot[20 * 41 + 40] = 1;
    byte[] turned = operated(square, spot, RandOperation.ROTATE, 1, false);
    byte[] back = operated(square, spot, RandOperation.ROTATE, 1, true);
    int at =
        IntStream.range(0, turned.length).filter(i -> turned[i] != 0).findFirst().orElseThrow();
    int other = IntStream.range(0, back.length).filter(i -> back[i] != 0).findFirst().orElseThrow();
    assertEquals(37, at % 41, 1);
    assertEquals(37, other % 41, 1);
    assertEquals(10, Math.abs(at / 41 - 20), 1);
    assertEquals(40, at / 41 + other / 41, 1, "one up, one down");
    byte[] sheared = operated(square, spot, RandOperation.SHEAR_COLUMNS, 1, false);
    int moved = IntStream.range(0, sheared.length).filter(i -> sheared[i] != 0).sum();
    assertEquals(6, Math.abs(moved / 41 - 20), "0.3 pixels down or up for each of 20");
  }

  private static byte[] operated(
      ImageShape shape, byte[] image, RandOperation operation, double strength, boolean back) {
    PixelCanvas canvas = new PixelCanvas(shape, new byte[1]);
    byte[] copy = image.clone();
    canvas.read(MemorySegment.ofArray(copy), 0);
    operation.apply(canvas, strength, back);
    canvas.write(MemorySegment.ofArray(copy), 0);
    return copy;
  }

  @Test
  void aPaddedCropOfTheHostIsThatOfTheDevice() {
    ImageShape shape = new ImageShape(3, 6, 5);
    ImageSet set = noise(shape, 9);
    // So little that nothing changes but who crops.
    Augmentation host = new Augmentation(new Padded(3), true, 1e-9, RandAugment.NONE, 0, 0);
    assertTrue(host.changesPixels());
    Map<List<Integer>, byte[]> ours = read(set, host, 4);
    Map<List<Integer>, byte[]> plain = read(set, Augmentation.cropAndFlip(3), 4);
    Philox philox = new Philox(SEED);
    int moved = 0;
    for (Map.Entry<List<Integer>, byte[]> entry : plain.entrySet()) {
      int image = entry.getKey().get(1);
      Philox draw = philox.at(image, entry.getKey().get(0), 7, DrawPurpose.ORDER_AND_AUGMENTATION);
      Window window = Window.drawn(draw, 3, true);
      PixelCanvas canvas = new PixelCanvas(shape, new byte[3]);
      byte[] expected = entry.getValue().clone();
      canvas.read(MemorySegment.ofArray(expected), 0);
      canvas.window(window.down(), window.right());
      canvas.write(MemorySegment.ofArray(expected), 0);
      assertArrayEquals(expected, ours.get(entry.getKey()), entry.getKey() + seed());
      moved += Arrays.equals(expected, entry.getValue()) ? 0 : 1;
    }
    assertTrue(moved > 0);
  }

  @Test
  void anImageIsChangedAlikeInWhateverBatchItLies() {
    for (ImageShape shape : List.of(new ImageShape(3, 13, 9), new ImageShape(1, 8, 11))) {
      ImageSet set = noise(shape, 11);
      Augmentation all = new Augmentation(new Resized(0.2), true, 0.4, new RandAugment(2, 9), 4, 0);
      Map<List<Integer>, byte[]> one = read(set, all, 1);
      Map<List<Integer>, byte[]> five = read(set, all, 5);
      int changed = 0;
      for (Map.Entry<List<Integer>, byte[]> entry : five.entrySet()) {
        assertArrayEquals(one.get(entry.getKey()), entry.getValue(), entry.getKey() + seed());
        byte[] plain = set.image(entry.getKey().get(1)).toArray(JAVA_BYTE);
        changed += Arrays.equals(plain, entry.getValue()) ? 0 : 1;
      }
      assertTrue(changed > 20, changed + " of 22 changed" + seed());
      assertFalse(Arrays.equals(one.get(List.of(0, 3)), one.get(List.of(1, 3))), "each epoch anew");
    }
  }

  /** A balanced epoch has some images several times. */
  @Test
  void anImageThatComesAgainIsChangedAnew() {
    ImageShape shape = new ImageShape(3, 9, 8);
    byte[] pixels = noise(shape, 1).image(0).toArray(JAVA_BYTE);
    for (Augmentation how :
        List.of(
            Augmentation.of(new Resized(0.2), false),
            new Augmentation(new Padded(3), false, 1e-9, RandAugment.NONE, 0, 0),
            new Augmentation(new Padded(0), false, 0.4, RandAugment.NONE, 0, 0),
            new Augmentation(new Padded(0), false, 0, new RandAugment(3, 20), 0, 0),
            new Augmentation(new Padded(0), false, 0, RandAugment.NONE, 3, 0))) {
      byte[] images = new byte[3 * pixels.length];
      for (int i = 0; i < 3; i++) {
        System.arraycopy(pixels, 0, images, i * pixels.length, pixels.length);
      }
      new Augmenter(how, shape, () -> new PixelCanvas(shape, new byte[3]), SEED, 1)
          .apply(MemorySegment.ofArray(images), new long[] {5, 1L << 32 | 5, 5}, 0);
      byte[] first = Arrays.copyOf(images, pixels.length);
      byte[] again = Arrays.copyOfRange(images, pixels.length, 2 * pixels.length);
      assertFalse(Arrays.equals(first, again), how + seed());
      assertArrayEquals(
          first, Arrays.copyOfRange(images, 2 * pixels.length, images.length), how + seed());
    }
  }

  @Test
  void sharesOfMixturesHaveTheMomentsOfTheirDefinition() {
    for (double strength : new double[] {0.2, 1}) {
      Augmenter mixer =
          new Augmenter(
              Augmentation.none().withMixup(strength),
              new ImageShape(1, 1, 1),
              () -> new PixelCanvas(new ImageShape(1, 1, 1), new byte[1]),
              SEED,
              1);
      Moments shares = new Moments();
      for (int i = 0; i < DRAWS; i++) {
        shares.add(mixer.share(i, 0));
      }
      shares.requireMean("share", 0.5);
      double variance = 1 / (4 * (2 * strength + 1));
      assertEquals(variance, shares.variance(), 0.03 * variance, strength + seed());
      assertTrue(shares.least >= 0 && shares.most <= 1, seed());
    }
    // So small a strength that its powers are no numbers any more: one image or the other.
    Augmenter least =
        new Augmenter(
            Augmentation.none().withMixup(1e-6),
            new ImageShape(1, 1, 1),
            () -> new PixelCanvas(new ImageShape(1, 1, 1), new byte[1]),
            SEED,
            1);
    for (int i = 0; i < 100; i++) {
      float share = least.share(i, 0);
      assertTrue(share < 1e-6 || share > 1 - 1e-6, share + seed());
    }
  }

  /**
   * Each image with the next one of the batch, whichever ranks have them, and the last the first.
   */
  @Test
  void imagesAreMixedWithTheNextOne() {
    ImageShape shape = new ImageShape(3, 7, 5);
    int n = shape.elements();
    ImageSet set = noise(shape, 13);
    Augmentation unmixed = new Augmentation(new Padded(2), true, 0.3, RandAugment.NONE, 2, 0);
    Augmentation mixed = unmixed.withMixup(0.7);
    Augmenter mixer =
        new Augmenter(mixed, shape, () -> new PixelCanvas(shape, new byte[3]), SEED, 7);
    Map<List<Integer>, byte[]> plain = mirrored(set, unmixed);
    int epoch = 1;
    for (int ranks : new int[] {1, 2, 4}) {
      List<Integer> order = new ArrayList<>();
      List<byte[]> images = new ArrayList<>();
      List<Float> weights = new ArrayList<>();
      List<Float> partners = new ArrayList<>();
      for (int rank = 0; rank < ranks; rank++) {
        try (BatchLoader loader =
            BatchLoader.over(set, IntStream.range(0, set.size()).toArray())
                .batchSize(8)
                .share(rank, ranks)
                .augmentation(mixed)
                .random(SEED, 7)
                .shuffle(true)
                .dropLast(true)
                .build()) {
          loader.start(epoch, 0);
          Batch read = loader.next();
          for (int i = 0; i < 8 / ranks; i++) {
            order.add(read.imageNumbers()[i]);
            images.add(read.images().asSlice((long) i * n, n).toArray(JAVA_BYTE));
            weights.add(read.weights().orElseThrow().getAtIndex(JAVA_FLOAT, i));
            partners.add(read.partnerWeights().orElseThrow().getAtIndex(JAVA_FLOAT, i));
            assertEquals(0, read.windows().getAtIndex(JAVA_INT, 3L * i + 2), "mirrored already");
          }
        }
      }
      for (int i = 0; i < 8; i++) {
        float share = mixer.share(order.get(i), epoch);
        assertEquals(share, weights.get(i), "rank of " + ranks + seed());
        assertEquals(1, weights.get(i) + partners.get(i), 1e-6f);
        byte[] own = plain.get(List.of(epoch, order.get(i)));
        byte[] other = plain.get(List.of(epoch, order.get((i + 1) % 8)));
        for (int k = 0; k < n; k++) {
          double wanted = share * (own[k] & 255) + (1 - share) * (other[k] & 255);
          assertEquals(wanted, images.get(i)[k] & 255, 0.51, ranks + " ranks, image " + i + seed());
        }
      }
    }
  }

  /** Images as a loader gives them, mirrored by hand where the device would. */
  private static Map<List<Integer>, byte[]> mirrored(ImageSet set, Augmentation how) {
    Map<List<Integer>, byte[]> images = read(set, how, 1);
    images.forEach(
        (key, image) -> {
          Philox draw =
              new Philox(SEED).at(key.get(1), key.get(0), 7, DrawPurpose.ORDER_AND_AUGMENTATION);
          if (draw.w3 < 0) {
            PixelCanvas canvas = new PixelCanvas(set.shape(), new byte[3]);
            canvas.read(MemorySegment.ofArray(image), 0);
            canvas.mirror();
            canvas.write(MemorySegment.ofArray(image), 0);
          }
        });
    return images;
  }

  private static ImageSet noise(ImageShape shape, int count) {
    byte[] pixels = new byte[count * shape.elements()];
    new Random(SEED).nextBytes(pixels);
    MemorySegment memory = Arena.ofAuto().allocate(pixels.length);
    memory.copyFrom(MemorySegment.ofArray(pixels));
    return ImageSet.of("train", shape, memory, new int[count], List.of("one"));
  }

  /** Two epochs by epoch and image. */
  private static Map<List<Integer>, byte[]> read(ImageSet set, Augmentation how, int batch) {
    Map<List<Integer>, byte[]> images = new HashMap<>();
    int bytes = set.shape().elements();
    try (BatchLoader loader =
        BatchLoader.over(set, IntStream.range(0, set.size()).toArray())
            .batchSize(batch)
            .augmentation(how)
            .random(SEED, 7)
            .shuffle(true)
            .build()) {
      for (int epoch = 0; epoch < 2; epoch++) {
        loader.start(epoch, 0);
        for (Batch read = loader.next(); read != null; read = loader.next()) {
          for (int i = 0; i < read.count(); i++) {
            byte[] image = read.images().asSlice((long) i * bytes, bytes).toArray(JAVA_BYTE);
            images.put(List.of(epoch, read.imageNumbers()[i]), image);
          }
        }
      }
    }
    return images;
  }

  /** Many images of one pixel each, all 100. */
  private static byte[] augmented(Augmentation how) {
    return augmented(how, 1, 1);
  }

  private static byte[] augmented(Augmentation how, int height, int width) {
    ImageShape shape = new ImageShape(1, height, width);
    byte[] images = new byte[DRAWS * shape.elements()];
    Arrays.fill(images, (byte) 100);
    new Augmenter(how, shape, () -> new PixelCanvas(shape, new byte[1]), SEED, 1)
        .apply(MemorySegment.ofArray(images), LongStream.range(0, DRAWS).toArray(), 0);
    return images;
  }

  private static String seed() {
    return ", seed " + SEED;
  }

  /** Sums of numbers and of their squares. */
  private static final class Moments {
    private double sum;
    private double squares;
    private double least = Double.POSITIVE_INFINITY;
    private double most = Double.NEGATIVE_INFINITY;

    void add(double value) {
      sum += value;
      squares += value * value;
      least = Math.min(least, value);
      most = Math.max(most, value);
    }

    private double variance() {
      return squares / DRAWS - sum / DRAWS * (sum / DRAWS);
    }

    void requireMean(String what, double mean) {
      assertEquals(mean, sum / DRAWS, FAR * Math.sqrt(variance() / DRAWS), what + seed());
    }

    /** Bounds, mean and variance, within rounding to whole pixels. */
    void requireUniform(String what, double from, double to) {
      requireMean(what, (from + to) / 2);
      double span = to - from;
      assertTrue(least > from - 0.01 * span && least < from + 0.02 * span, what + " " + least);
      assertTrue(most < to + 0.01 * span && most > to - 0.02 * span, what + " " + most);
      assertEquals(span * span / 12, variance(), 0.03 * span * span / 12, what + seed());
    }
  }
}
