package io.fbnet.nas.onnx;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.reference.ReferenceBackend;
import io.fbnet.nas.cli.InProcess;
import io.fbnet.nas.data.DataOptions;
import io.fbnet.nas.data.DataSource;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.data.ImageSet;
import io.fbnet.nas.data.ImageShape;
import io.fbnet.nas.data.Normalisation;
import io.fbnet.nas.kit.Kit;
import io.fbnet.nas.model.TrainedNetwork;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.SearchSpace;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * What OpenCV and ONNX's own checker, in Debian's Python, make of files that {@code export} wrote;
 * {@code docs/runtimes.md} says what they take.
 */
class RuntimesIT {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final long LONGEST_SECONDS = 120;

  /** Debian's modules are known to its own Python alone, which another may stand before. */
  private static final List<String> PYTHONS = List.of("/usr/bin/python3", "python3");

  @TempDir Path folder;
  private final Backend reference = new ReferenceBackend();
  private String python;

  /** One run of a file by a judge, and the logits that the engine has for the same images. */
  private record Case(Path file, int batch, boolean fixed, List<Float> logits) {}

  private final List<Case> cases = new ArrayList<>();
  private final ArrayNode questions = JSON.createArrayNode();

  @BeforeEach
  void find() throws Exception {
    for (String candidate : PYTHONS) {
      try {
        Process process =
            new ProcessBuilder(candidate, "-c", "import cv2, onnx")
                .redirectErrorStream(true)
                .start();
        process.getInputStream().readAllBytes();
        if (process.waitFor() == 0) {
          python = candidate;
          return;
        }
      } catch (IOException e) {
        // There is no such program: the next may be there.
      }
    }
    String reason =
        "no Python with the modules cv2 and onnx (apt-get install python3-opencv python3-onnx)";
    System.out.println("RuntimesIT skipped: " + reason);
    assumeTrue(false, reason);
  }

  private static void command(String... arguments) {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    int code = InProcess.run(arguments, new PrintWriter(out), new PrintWriter(err));
    assertEquals(0, code, err.toString());
  }

  /** Exports a network, and asks for the logits of so many images. */
  private void ask(TrainedNetwork network, ImageSet images, int batch, List<String> flags)
      throws IOException {
    Path model = folder.resolve("model.safetensors");
    network.write(model);
    Path file = folder.resolve("net" + cases.size() + ".onnx");
    List<String> arguments = new ArrayList<>(List.of("export", model.toString(), "--out=" + file));
    arguments.addAll(flags);
    command(arguments.toArray(String[]::new));
    int elements = images.shape().elements();
    float[] normalised = new float[batch * elements];
    float[] pixels = new float[batch * elements];
    for (int i = 0; i < batch; i++) {
      network.normalisation().apply(images.image(i), normalised, i * elements);
      Normalisation.none(images.channels()).apply(images.image(i), pixels, i * elements);
    }
    List<Float> logits = new ArrayList<>();
    for (float logit : Networks.logits(reference, network, batch, normalised)) {
      logits.add(logit);
    }
    ByteBuffer bytes =
        ByteBuffer.allocate(pixels.length * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
    bytes.asFloatBuffer().put(flags.contains("--normalise") ? pixels : normalised);
    Path input = folder.resolve("images" + cases.size());
    Files.write(input, bytes.array());
    boolean fixed = flags.stream().anyMatch(flag -> flag.startsWith("--batch"));
    cases.add(new Case(file, batch, fixed, logits));
    ObjectNode question = questions.addObject();
    question.put("file", file.toString()).put("images", input.toString());
    question.putArray("shape").add(batch).add(images.channels());
    question.withArray("shape").add(images.height()).add(images.width());
  }

  private JsonNode answers() throws Exception {
    Path in = Files.write(folder.resolve("questions.json"), JSON.writeValueAsBytes(questions));
    Path out = folder.resolve("answers.json");
    Path err = folder.resolve("complaints");
    Process process =
        new ProcessBuilder(python, Path.of("src", "test", "python", "runtimes.py").toString())
            .redirectInput(in.toFile())
            .redirectOutput(out.toFile())
            .redirectError(err.toFile())
            .start();
    boolean ended = process.waitFor(LONGEST_SECONDS, TimeUnit.SECONDS);
    process.destroyForcibly();
    assertTrue(ended, "Python hangs");
    assertEquals(0, process.exitValue(), () -> read(err));
    JsonNode answers = JSON.readTree(out.toFile());
    System.out.printf(
        Locale.ROOT,
        "ONNX checker %s, OpenCV %s%n",
        answers.path("onnx").asText(),
        answers.path("opencv").asText());
    assertEquals(cases.size(), answers.path("files").size());
    return answers;
  }

  private static String read(Path file) {
    try {
      return Files.readString(file);
    } catch (IOException e) {
      return e.toString();
    }
  }

  /** The file keeps to the standard, and every shape in it can be told beforehand. */
  private static void checked(Case asked, JsonNode answer) {
    assertFalse(answer.has("refusal"), answer.path("refusal").asText());
    JsonNode checker = answer.path("checker");
    String what = asked + ": " + checker;
    assertEquals(0, checker.path("unknown").size(), what);
    assertEquals(4, checker.path("most").asInt(), what);
    assertEquals(0, checker.path("inner").asInt(-1), what);
    assertEquals(asked.fixed(), checker.path("open").asInt() == 0, what);
    for (String computed : List.of("\"Shape\"", "\"Gather\"", "\"Concat\"")) {
      assertFalse(checker.path("operators").toString().contains(computed), what);
    }
  }

  private static double difference(Case asked, JsonNode answer) {
    assertFalse(answer.has("error"), answer.path("error").asText());
    assertEquals(asked.batch(), answer.path("shape").get(0).asInt());
    assertEquals(asked.logits().size(), answer.path("logits").size());
    double most = 0;
    for (int i = 0; i < asked.logits().size(); i++) {
      double there = answer.path("logits").get(i).asDouble();
      assertTrue(Double.isFinite(there));
      most = Math.max(most, Math.abs(there - asked.logits().get(i)));
    }
    return most;
  }

  private static double spread(List<Float> logits) {
    var statistics = logits.stream().mapToDouble(Float::doubleValue).summaryStatistics();
    return statistics.getMax() - statistics.getMin();
  }

  @Test
  void floatsAreTakenByBothAndComputedAlike() throws Exception {
    SearchSpace colour = Networks.space(3, 33, 37, true);
    SearchSpace grey = Networks.space(1, 28, 28, false);
    List<Architecture> networks =
        List.of(
            Networks.architecture(colour, "k3_e1_g2", "skip", "skip", "k5_e1_g2", "k5_e6", "k3_e3"),
            Networks.architecture(
                colour, "k7_e2_g4", "k11_e1", "k9_e1_g8", "skip", "skip", "k3_e6"),
            Networks.architecture(grey, "k5_e3", "k3_e1", "k5_e1_g2", "k3_e6", "skip", "k5_e1"));
    for (Architecture network : networks) {
      SearchSpace.Input in = network.space().input();
      try (Dataset data =
          RealImages.open(new ImageShape(in.channels(), in.height(), in.width()), folder)) {
        TrainedNetwork drawn = Networks.drawn(reference, network, data, 7);
        ask(drawn, data.test(), 1, List.of());
        ask(drawn, data.test(), 3, List.of("--fold-bn", "--normalise"));
        ask(drawn, data.test(), 1, List.of("--fold-bn", "--batch=1"));
        ask(drawn, data.test(), 3, List.of("--normalise", "--batch=3"));
      }
    }
    computedAlike(answers());
  }

  /**
   * Swishes, and gates of channels by squeeze-and-excitation: where the batch is open OpenCV 4.6
   * cannot tell which of two factors is the larger, and refuses the file.
   */
  @Test
  void gatesAreTakenByBothWhereTheBatchIsFixed() throws Exception {
    Architecture network = Networks.laterNetwork(3, 33, 37);
    try (Dataset data = RealImages.open(new ImageShape(3, 33, 37), folder)) {
      TrainedNetwork drawn = Networks.drawn(reference, network, data, 7);
      ask(drawn, data.test(), 1, List.of("--batch=1"));
      ask(drawn, data.test(), 3, List.of("--fold-bn", "--normalise", "--batch=3"));
      ask(drawn, data.test(), 3, List.of("--fold-bn"));
    }
    JsonNode answers = answers();
    checked(cases.getLast(), answers.path("files").get(2));
    if (answers.path("opencv").asText().startsWith("4.6.")) {
      String error = answers.path("files").get(2).path("error").asText();
      assertTrue(error.contains("total"), error);
      cases.removeLast();
    }
    computedAlike(answers);
  }

  private void computedAlike(JsonNode answers) {
    double worst = 0;
    double least = Double.POSITIVE_INFINITY;
    for (int i = 0; i < cases.size(); i++) {
      JsonNode answer = answers.path("files").get(i);
      checked(cases.get(i), answer);
      worst = Math.max(worst, difference(cases.get(i), answer));
      least = Math.min(least, spread(cases.get(i).logits()));
    }
    System.out.printf(
        Locale.ROOT, "OpenCV: logits differ by at most %.2g of %.2g or more%n", worst, least);
    assertTrue(worst < 1e-4 && least > 0.1, worst + " of " + least);
  }

  /**
   * OpenCV 4.6 refuses weights in eight bits, and says so; 4.9 and 4.13 read such files and compute
   * something else, which is not for this test to hold.
   */
  @Test
  void eightBitsKeepToTheStandard() throws Exception {
    Architecture network =
        Networks.architecture(
            Networks.space(1, 28, 28, true),
            "k3_e1_g2",
            "skip",
            "k9_e1_g8",
            "k5_e1_g2",
            "k5_e6",
            "k3_e3");
    DataOptions options = DataOptions.of("shapes", new ImageShape(1, 28, 28)).withSeed(1);
    try (Dataset data = DataSource.open(options.withOffline(true))) {
      TrainedNetwork drawn = Networks.drawn(reference, network, data, 7);
      List<String> flags =
          List.of("--int8", "--data=shapes", "--calibration-images=64", "--device=cpu");
      ask(drawn, data.test(), 2, flags);
      List<String> fixed = new ArrayList<>(flags);
      fixed.add("--batch=2");
      ask(drawn, data.test(), 2, fixed);
    }
    JsonNode answers = answers();
    for (int i = 0; i < cases.size(); i++) {
      JsonNode answer = answers.path("files").get(i);
      checked(cases.get(i), answer);
      assertTrue(answer.path("checker").path("operators").toString().contains("QuantizeLinear"));
      if (answers.path("opencv").asText().startsWith("4.6.")) {
        String error = answer.path("error").asText();
        assertTrue(error.contains("DequantizeLinear"), error);
      }
    }
  }

  @Test
  void kitsKeepToTheStandard() throws Exception {
    int files = 0;
    for (SearchSpace space : List.of(Networks.space(3, 19, 22, true), Networks.later(3, 19, 22))) {
      for (boolean int8 : new boolean[] {false, true}) {
        Path kit = folder.resolve(space.name() + int8);
        files += Kit.write(space, 2, int8, kit, (done, all, what) -> {});
        try (Stream<Path> entries = Files.list(kit)) {
          for (Path file : entries.filter(f -> f.toString().endsWith(".onnx")).sorted().toList()) {
            cases.add(new Case(file, 2, false, List.of()));
            questions.addObject().put("file", file.toString());
          }
        }
      }
    }
    assertEquals(files, cases.size());
    JsonNode answers = answers();
    for (int i = 0; i < files; i++) {
      checked(cases.get(i), answers.path("files").get(i));
    }
  }
}
