package io.fbnet.nas.search;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.nas.UserException;
import io.fbnet.nas.file.AtomicFile;
import io.fbnet.nas.file.Document;
import io.fbnet.nas.file.JsonText;
import io.fbnet.nas.file.Node;
import io.fbnet.nas.search.ArchitectureScorer.Score;
import io.fbnet.nas.space.Block;
import io.fbnet.nas.space.Blocks;
import io.fbnet.nas.train.Evaluation;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;

/**
 * A run's {@code samples.json}: the architectures that were drawn and scored, and which was taken.
 *
 * @param samples those that the choice was among first, in the order in which they were drawn
 * @param testAccuracy of the best on the test images, 0 to 1
 * @param testImages how many those are
 */
public record SamplesFile(List<Sample> samples, double testAccuracy, int testImages) {
  private static final int FORMAT = 1;
  private static final int MOST = 1 << 20;
  private static final Pattern ORIGIN = Pattern.compile("[a-z][a-z0-9-]{0,63}");

  /** Where a sample is from that was drawn from theta. */
  public static final String THETA = "theta";

  /** Where a sample is from that was drawn uniformly. */
  public static final String UNIFORM = "uniform";

  /**
   * One scored architecture.
   *
   * @param blocks one a layer
   * @param latencyMs the table's sum
   * @param accuracy with the supernet's weights on the theta split, 0 to 1
   * @param loss crossEntropy * alpha * log(latency in microseconds)^beta, NaN if it was no number
   * @param drawn {@link #THETA}, {@link #UNIFORM}, or the strategy that proposed it
   * @param best whether it is the run's result; one at most
   */
  public record Sample(
      List<Block> blocks,
      double latencyMs,
      double accuracy,
      double loss,
      String drawn,
      boolean best) {
    /** Copies the list. */
    public Sample {
      blocks = List.copyOf(blocks);
    }

    /** {@return whether it was drawn uniformly, for comparison} */
    public boolean uniform() {
      return drawn.equals(UNIFORM);
    }
  }

  /** Copies the list. */
  public SamplesFile {
    samples = List.copyOf(samples);
  }

  /**
   * {@return what a sampling gives}
   *
   * @param from where {@code drawn} are from: {@link #THETA} or the strategy that proposed them
   * @param drawn what the choice was among
   * @param uniform drawn uniformly, may be empty
   * @param best among {@code drawn}; of equal ones the first counts
   * @param test the best on the test images
   * @param testImages how many those are
   */
  public static SamplesFile of(
      String from,
      List<Score> drawn,
      List<Score> uniform,
      Score best,
      Evaluation test,
      int testImages) {
    List<Sample> samples = new ArrayList<>();
    int first = drawn.indexOf(best);
    for (int i = 0; i < drawn.size(); i++) {
      samples.add(sample(drawn.get(i), from, i == first));
    }
    uniform.forEach(score -> samples.add(sample(score, UNIFORM, false)));
    return new SamplesFile(samples, test.accuracy(), testImages);
  }

  private static Sample sample(Score s, String from, boolean best) {
    return new Sample(s.architecture().blocks(), s.latencyMs(), s.accuracy(), s.loss(), from, best);
  }

  /** {@return the JSON tree that {@link #write} writes} */
  public ObjectNode json() {
    ObjectNode tree = JsonNodeFactory.instance.objectNode();
    tree.put("format", FORMAT);
    tree.put("test_accuracy", testAccuracy).put("test_images", testImages);
    ArrayNode list = tree.putArray("samples");
    for (Sample sample : samples) {
      ObjectNode item = list.addObject();
      item.put("drawn", sample.drawn).put("best", sample.best);
      item.put("latency_ms", sample.latencyMs).put("accuracy", sample.accuracy);
      if (Double.isFinite(sample.loss)) {
        item.put("loss", sample.loss);
      } else {
        item.putNull("loss");
      }
      ArrayNode blocks = item.putArray("blocks");
      sample.blocks.forEach(block -> blocks.add(block.name()));
    }
    return tree;
  }

  /**
   * Writes the JSON file, whole or not at all.
   *
   * @param target to write
   * @throws UserException (exit code 5) if it cannot be written
   */
  public void write(Path target) {
    AtomicFile.writeText(target, JsonText.of(json()));
  }

  /**
   * {@return what a JSON file says}
   *
   * @param file to read
   * @throws UserException (exit code 3) if it is missing or wrong
   */
  public static SamplesFile read(Path file) {
    Node.Fields fields =
        Document.json(file).fields("format", "test_accuracy", "test_images", "samples");
    fields.required("format").requireVersion(FORMAT);
    List<Sample> samples = new ArrayList<>();
    boolean taken = false;
    for (Node node : fields.required("samples").list(0, MOST)) {
      Node.Fields item = node.fields("drawn", "best", "latency_ms", "accuracy", "loss", "blocks");
      boolean best = item.required("best").flag();
      if (best && taken) {
        throw item.required("best").wrong("marks a second best");
      }
      taken |= best;
      Node loss = item.required("loss");
      samples.add(
          new Sample(
              blocks(item.required("blocks")),
              item.required("latency_ms").number(0, Double.MAX_VALUE),
              item.required("accuracy").number(0, 1),
              loss.isNull() ? Double.NaN : loss.number(-Double.MAX_VALUE, Double.MAX_VALUE),
              origin(item.required("drawn")),
              best));
    }
    return new SamplesFile(
        samples,
        fields.required("test_accuracy").number(0, 1),
        fields.required("test_images").integer(0, Integer.MAX_VALUE));
  }

  private static String origin(Node drawn) {
    if (!ORIGIN.matcher(drawn.text()).matches()) {
      throw drawn.wrong(
          "must be \"theta\", \"uniform\" or a strategy's name, but is " + drawn.shown());
    }
    return drawn.text();
  }

  private static List<Block> blocks(Node node) {
    List<Block> blocks = new ArrayList<>();
    for (Node name : node.list(1, MOST)) {
      try {
        blocks.add(Blocks.parse(name.text()));
      } catch (IllegalArgumentException e) {
        throw name.wrong("is wrong: " + e.getMessage());
      }
    }
    return blocks;
  }
}
