package io.fbnet.nas.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

class ShapesSourceTest {
  private final List<String> notices = TestFiles.notices();

  @Test
  void isGeneratedDeterministicAndBalanced() {
    try (Dataset one = load(1, new ImageShape(3, 16, 16));
        Dataset same = load(1, new ImageShape(3, 16, 16));
        Dataset other = load(2, new ImageShape(3, 16, 16))) {
      assertTrue(one.generated());
      assertEquals("shapes", one.name());
      assertEquals(one.fingerprint(), same.fingerprint());
      assertNotEquals(one.fingerprint(), other.fingerprint());
      assertArrayEquals(filled(20), Counts.byClass(one.train()));
      assertArrayEquals(filled(5), Counts.byClass(one.test()));
      assertTrue(notices.getFirst().contains("generated"), notices.getFirst());
      assertNotEquals(
          -1L, one.train().image(0).mismatch(one.test().image(0)), "the splits share no image");
    }
  }

  /** The pixels must be the same on every machine: the fingerprint stands in run records. */
  @Test
  void drawsTheSamePixelsEverywhere() {
    try (Dataset data = load(0, new ImageShape(1, 28, 28))) {
      assertEquals(
          "sha256:5905176cfa9c2fe1e0dd5c3d11947359a6de99eb28d164dfa1e1b16b6bf3ef0f",
          data.fingerprint());
    }
  }

  @Test
  void meanPixelsDoNotGiveTheClassAway() {
    try (Dataset data =
        new ShapesSource(2000, 500).load(options(0, new ImageShape(1, 28, 28)), noBad())) {
      double accuracy = nearestMeanAccuracy(data);
      assertTrue(accuracy < 0.35, "the nearest class mean alone reaches " + accuracy);
    }
  }

  private static double nearestMeanAccuracy(Dataset data) {
    int elements = data.train().shape().elements();
    double[][] means = new double[data.classes().size()][elements];
    for (int i = 0; i < data.train().size(); i++) {
      double[] mean = means[data.train().label(i)];
      byte[] image = pixels(data.train(), i);
      for (int p = 0; p < elements; p++) {
        mean[p] += (image[p] & 255) * (double) means.length / data.train().size();
      }
    }
    int right = 0;
    for (int i = 0; i < data.test().size(); i++) {
      byte[] image = pixels(data.test(), i);
      double[] distances = Arrays.stream(means).mapToDouble(m -> distance(m, image)).toArray();
      double least = Arrays.stream(distances).min().orElseThrow();
      right += distances[data.test().label(i)] == least ? 1 : 0;
    }
    return right / (double) data.test().size();
  }

  private static double distance(double[] mean, byte[] image) {
    double sum = 0;
    for (int p = 0; p < mean.length; p++) {
      double difference = mean[p] - (image[p] & 255);
      sum += difference * difference;
    }
    return sum;
  }

  private static byte[] pixels(ImageSet set, int i) {
    return set.image(i).toArray(ValueLayout.JAVA_BYTE);
  }

  private static int[] filled(int value) {
    int[] counts = new int[10];
    Arrays.fill(counts, value);
    return counts;
  }

  private static BadSamples noBad() {
    return new BadSamples(BadSamplePolicy.fail());
  }

  private DataOptions options(long seed, ImageShape shape) {
    return DataOptions.of("shapes", shape).withSeed(seed).withNotices(notices::add);
  }

  private Dataset load(long seed, ImageShape shape) {
    return new ShapesSource(200, 50).load(options(seed, shape), noBad());
  }
}
