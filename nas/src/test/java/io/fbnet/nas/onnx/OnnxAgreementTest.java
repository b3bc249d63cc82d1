package io.fbnet.nas.onnx;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.cpu.CpuBackend;
import io.fbnet.engine.reference.ReferenceBackend;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.data.ImageSet;
import io.fbnet.nas.data.ImageShape;
import io.fbnet.nas.model.TrainedNetwork;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.SearchSpace;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * ONNX Runtime computes from an exported file what the engine computes from the graph, on real
 * images, for any batch from the same file.
 */
class OnnxAgreementTest {
  private static final double TOLERANCE = 1e-4;
  private static final int[] BATCHES = {1, 3, 7};

  @TempDir static Path folder;

  @Test
  void groupedBlocksAndBothKindsOfSkipInColourAtOddSizes() throws Exception {
    SearchSpace space = Networks.space(3, 33, 37, true);
    agree(
        Networks.architecture(space, "k3_e1_g2", "skip", "skip", "k5_e1_g2", "k5_e6", "k3_e3"),
        Networks.architecture(space, "skip", "k5_e1", "k3_e1_g2", "skip", "skip", "k3_e6"));
  }

  @Test
  void blocksWithoutTheirFirstConvolutionInGrey() throws Exception {
    SearchSpace space = Networks.space(1, 28, 28, false);
    agree(
        Networks.architecture(space, "k5_e3", "k3_e1", "k5_e1_g2", "k3_e6", "k3_e1", "k5_e1"),
        Networks.architecture(space, "k3_e1_g2", "skip", "k3_e3", "k5_e1_g2", "skip", "skip"));
  }

  @Test
  void kernelsAndGroupsThatNoPaperHas() throws Exception {
    SearchSpace space = Networks.space(3, 23, 31, true);
    agree(
        Networks.architecture(
            space, "k7_e2_g4", "k11_e1", "k9_e1_g8", "k7_e2_g4", "k11_e1", "k9_e1_g8"));
  }

  @Test
  void squeezeAndExcitationAndSwishes() throws Exception {
    agree(Networks.laterNetwork(3, 33, 37));
  }

  @Test
  void aPublishedNetworkAtItsOwnSize() throws Exception {
    agree(Architecture.load("fbnet-a"));
  }

  private static void agree(Architecture... architectures) throws Exception {
    SearchSpace.Input in = architectures[0].space().input();
    ImageShape shape = new ImageShape(in.channels(), in.height(), in.width());
    boolean small = in.height() < 100;
    try (Dataset data = RealImages.open(shape, folder);
        Backend backend = backend(small)) {
      for (Architecture given : architectures) {
        Architecture network =
            new Architecture(
                given.name(), given.space().withClasses(data.classes().size()), given.blocks());
        agree(backend, Networks.drawn(backend, network, data, 7), data.test(), small);
      }
    }
  }

  /** The reference defines every operation, but takes minutes for a large network. */
  private static Backend backend(boolean small) {
    return small || !CpuBackend.availability().found()
        ? new ReferenceBackend()
        : CpuBackend.open(2);
  }

  private static void agree(Backend backend, TrainedNetwork network, ImageSet images, boolean cpu)
      throws Exception {
    List<float[]> expected = new ArrayList<>();
    for (int batch : BATCHES) {
      float[] normalised = pixels(network, images, batch, true);
      expected.add(Networks.logits(backend, network, batch, normalised));
      if (cpu && CpuBackend.availability().found()) {
        try (Backend fast = CpuBackend.open(2)) {
          float[] there = Networks.logits(fast, network, batch, normalised);
          assertEquals(0, difference(expected.getLast(), there), TOLERANCE);
        }
      }
    }
    assertTrue(spread(expected.getLast()) > 0.1, "logits that hardly differ prove nothing");
    for (boolean fold : new boolean[] {false, true}) {
      for (boolean normalise : new boolean[] {false, true}) {
        Path file = folder.resolve("net-" + fold + "-" + normalise + ".onnx");
        OnnxExport.write(network, fold, normalise, OptionalInt.empty(), file);
        double worst = 0;
        try (OnnxRuntime runtime = new OnnxRuntime(file)) {
          for (int i = 0; i < BATCHES.length; i++) {
            float[] logits =
                runtime.run(
                    pixels(network, images, BATCHES[i], !normalise),
                    BATCHES[i],
                    images.channels(),
                    images.height(),
                    images.width());
            worst = Math.max(worst, difference(expected.get(i), logits));
          }
        }
        System.out.printf(
            Locale.ROOT,
            "ONNX Runtime, %s on %s, fold %b, normalise %b: logits differ by at most %.2g of"
                + " %.2g%n",
            network.architecture().blockLine(),
            network.data(),
            fold,
            normalise,
            worst,
            spread(expected.getLast()));
        assertTrue(worst < TOLERANCE, "logits differ by " + worst);
      }
    }
  }

  private static float[] pixels(
      TrainedNetwork network, ImageSet images, int batch, boolean normalised) {
    int elements = images.shape().elements();
    int plane = images.height() * images.width();
    float[] pixels = new float[batch * elements];
    for (int n = 0; n < batch; n++) {
      byte[] image =
          images.image(n % images.size()).toArray(java.lang.foreign.ValueLayout.JAVA_BYTE);
      for (int i = 0; i < elements; i++) {
        int channel = i / plane;
        double value = (image[i] & 255) / 255.0;
        pixels[n * elements + i] =
            (float)
                (normalised
                    ? (value - network.normalisation().mean().get(channel))
                        / network.normalisation().std().get(channel)
                    : value);
      }
    }
    return pixels;
  }

  private static double difference(float[] a, float[] b) {
    assertEquals(a.length, b.length);
    double worst = 0;
    for (int i = 0; i < a.length; i++) {
      worst = Math.max(worst, Math.abs((double) a[i] - b[i]));
    }
    return Double.isNaN(worst) ? Double.POSITIVE_INFINITY : worst;
  }

  private static double spread(float[] values) {
    double least = Double.POSITIVE_INFINITY;
    double most = Double.NEGATIVE_INFINITY;
    for (float value : values) {
      least = Math.min(least, value);
      most = Math.max(most, value);
    }
    return most - least;
  }
}
