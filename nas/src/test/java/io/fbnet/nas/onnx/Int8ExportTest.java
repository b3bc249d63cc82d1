package io.fbnet.nas.onnx;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.reference.ReferenceBackend;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.data.ImageShape;
import io.fbnet.nas.model.TrainedNetwork;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.SearchSpace;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalInt;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Networks in eight bits, as ONNX Runtime computes them. */
class Int8ExportTest {
  private static final int IMAGES = 48;

  @TempDir Path folder;
  private final Backend reference = new ReferenceBackend();

  @Test
  void logitsAreThoseOfTheEngineButForRounding() throws Exception {
    SearchSpace space = Networks.space(3, 33, 37, true);
    agree(
        Networks.architecture(space, "k3_e1_g2", "skip", "skip", "k5_e1_g2", "k5_e6", "k3_e3"),
        Networks.architecture(space, "skip", "k5_e1", "k3_e1_g2", "skip", "skip", "k3_e6"),
        Networks.architecture(space, "k7_e2_g4", "skip", "k9_e1_g8", "skip", "skip", "k5_e1_g2"));
    agree(
        Networks.architecture(
            Networks.space(1, 28, 28, false),
            "k5_e3",
            "k3_e1",
            "k5_e1_g2",
            "k3_e6",
            "k3_e1",
            "k5_e1"));
  }

  /** Gates and swishes are computed of rounded floats: ONNX Runtime has none of integers. */
  @Test
  void squeezeAndExcitationAndSwishesBetweenConvolutionsOfIntegers() throws Exception {
    agree(false, Networks.laterNetwork(3, 33, 37));
  }

  private void agree(Architecture... architectures) throws Exception {
    agree(true, architectures);
  }

  private void agree(boolean integersAlone, Architecture... architectures) throws Exception {
    SearchSpace.Input in = architectures[0].space().input();
    ImageShape shape = new ImageShape(in.channels(), in.height(), in.width());
    try (Dataset data = RealImages.open(shape, folder)) {
      for (Architecture given : architectures) {
        Architecture architecture =
            new Architecture(
                given.name(), given.space().withClasses(data.classes().size()), given.blocks());
        TrainedNetwork network = Networks.drawn(reference, architecture, data, 7);
        int[] numbers = IntStream.range(0, IMAGES).toArray();
        int[] told = {0};
        Calibration calibration =
            Calibration.of(reference, network, data.train(), numbers, done -> told[0] = done);
        assertEquals(IMAGES, told[0]);
        int elements = shape.elements();
        float[] images = new float[IMAGES * elements];
        for (int i = 0; i < IMAGES; i++) {
          network.normalisation().apply(data.train().image(i), images, i * elements);
        }
        float[] exact = Networks.logits(reference, network, IMAGES, images);
        Path file = folder.resolve("int8.onnx");
        Path fixed = folder.resolve("fixed.onnx");
        for (OptionalInt batch : List.of(OptionalInt.empty(), OptionalInt.of(IMAGES))) {
          OnnxExport.writeInt8(
              network,
              calibration.graph(),
              calibration.quantisation(1e-4),
              false,
              batch,
              Map.of("precision", "int8"),
              batch.isPresent() ? fixed : file);
        }
        try (OnnxRuntime runtime = new OnnxRuntime(file);
            OnnxRuntime same = new OnnxRuntime(fixed)) {
          assertEquals("int8", runtime.properties().get("precision"));
          float[] rounded = runtime.run(images, IMAGES, in.channels(), in.height(), in.width());
          assertArrayEquals(
              rounded, same.run(images, IMAGES, in.channels(), in.height(), in.width()));
          double error = deviation(exact, rounded);
          double spread = deviation(exact, new float[exact.length]);
          System.out.printf(
              Locale.ROOT,
              "int8, %s: logits differ by %.2g of %.2g%n",
              architecture.blockLine(),
              error,
              spread);
          assertTrue(error > 0 && error < 0.1 * spread, error + " of " + spread);
        }
        if (integersAlone) {
          onlyIntegers(file, calibration.graph());
          onlyIntegers(fixed, calibration.graph());
        } else {
          String optimised = optimised(file);
          int gates =
              2
                  * (int)
                      calibration.graph().ops().stream()
                          .filter(Op.ScaleChannels.class::isInstance)
                          .count();
          assertEquals(6, gates);
          assertEquals(convolutions(calibration.graph()) + gates, count(optimised, "QLinearConv"));
          assertEquals(0, count(optimised, "Conv"));
          assertEquals(0, count(optimised, "Gemm"));
        }
      }
    }
  }

  /** The root of the mean square of differences from b, after the mean of a. */
  private static double deviation(float[] a, float[] b) {
    double mean = 0;
    boolean zero = true;
    for (int i = 0; i < a.length; i++) {
      mean += a[i] / a.length;
      zero &= b[i] == 0;
    }
    double sum = 0;
    for (int i = 0; i < a.length; i++) {
      sum += Math.pow(a[i] - (zero ? mean : b[i]), 2);
    }
    return Math.sqrt(sum / a.length);
  }

  private static int convolutions(Graph graph) {
    return (int) graph.ops().stream().filter(Op.Convolution.class::isInstance).count();
  }

  /** ONNX Runtime has made operations on integers of all that computes. */
  private void onlyIntegers(Path file, Graph graph) throws Exception {
    String optimised = optimised(file);
    int sums = (int) graph.ops().stream().filter(Op.Sum.class::isInstance).count();
    assertEquals(convolutions(graph), count(optimised, "QLinearConv"));
    assertEquals(sums, count(optimised, "QLinearAdd"));
    assertEquals(1, count(optimised, "QLinearGlobalAveragePool"));
    assertEquals(1, count(optimised, "QGemm"));
    for (String floats : List.of("Conv", "Add", "Gemm", "Relu", "DequantizeLinear")) {
      assertEquals(0, count(optimised, floats), floats);
    }
    // The images alone.
    assertEquals(1, count(optimised, "QuantizeLinear"));
  }

  private String optimised(Path file) throws OrtException, IOException {
    Path target = folder.resolve("optimised.onnx");
    try (OrtSession.SessionOptions options = new OrtSession.SessionOptions()) {
      options.setOptimizedModelFilePath(target.toString());
      options.setOptimizationLevel(OrtSession.SessionOptions.OptLevel.ALL_OPT);
      OrtEnvironment.getEnvironment().createSession(file.toString(), options).close();
    }
    return Files.readString(target, StandardCharsets.ISO_8859_1);
  }

  /** How many nodes of a type: field 4 of a NodeProto. */
  private static int count(String file, String operation) {
    return file.split("\\x22" + (char) operation.length() + operation, -1).length - 1;
  }
}
