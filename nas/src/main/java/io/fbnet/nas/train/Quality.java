package io.fbnet.nas.train;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.program.ParameterStore;
import io.fbnet.engine.program.Program;
import io.fbnet.nas.data.Batch;
import io.fbnet.nas.data.BatchLoader;
import io.fbnet.nas.data.ImageSet;
import io.fbnet.nas.data.Normalisation;
import io.fbnet.nas.model.TrainedNetwork;
import io.fbnet.nas.network.ArchitectureGraphs;
import io.fbnet.nas.network.BatchInputs;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.OptionalDouble;
import java.util.stream.IntStream;

/** How well a trained network tells a set of labelled images apart, class by class. */
public final class Quality {
  private static final int TOP = 5;
  private static final int MOST_CLASSES_IN_TABLE = 20;
  private static final int MOST_CLASSES_IN_JSON = 1000;
  private static final int WORST_SHOWN = 10;
  private static final int LONGEST_NAME = 16;

  private final List<String> classes;
  private final int[] labels;
  private final int[] predictions;
  private int amongTop;
  private double crossEntropy;

  private Quality(List<String> classes, int images) {
    this.classes = classes;
    labels = new int[images];
    predictions = new int[images];
  }

  /**
   * Runs a network over images, normalised by its own mean and deviation.
   *
   * @param backend where it runs
   * @param network the network
   * @param set whose labels are positions in the network's classes
   * @param numbers of the images; not empty
   * @param batch images a run
   * @return the quality
   */
  public static Quality of(
      Backend backend, TrainedNetwork network, ImageSet set, int[] numbers, int batch) {
    Quality quality = new Quality(network.classes(), numbers.length);
    Normalisation normalisation = network.normalisation().with(set.shape().pixels());
    try (ParameterStore store = network.store(backend);
        Program program =
            Program.compileFixed(
                backend,
                ArchitectureGraphs.evaluation(network.architecture(), batch, normalisation),
                store);
        BatchLoader loader =
            BatchLoader.over(set, numbers).batchSize(batch).normalisation(normalisation).build()) {
      loader.start(0, 0);
      int at = 0;
      for (Batch next = loader.next(); next != null; next = loader.next()) {
        BatchInputs.write(program, next);
        program.run();
        float[][] results = program.readLater("logits", "rank", "ce").await();
        int[] images = next.imageNumbers();
        for (int i = 0; i < next.count(); i++) {
          quality.add(at++, set.label(images[i]), results[0], i, (int) results[1][i]);
          quality.crossEntropy += results[2][i];
        }
      }
    }
    return quality;
  }

  private void add(int image, int label, float[] logits, int row, int rank) {
    labels[image] = label;
    amongTop += rank < TOP ? 1 : 0;
    // A label that shares the largest logit counts as wrong, as everywhere.
    predictions[image] = rank == 0 ? label : largestOther(logits, row * classes.size(), label);
  }

  /** The class of the largest logit beside the label's; a NaN counts as largest. */
  private int largestOther(float[] logits, int from, int label) {
    int best = label == 0 ? 1 : 0;
    for (int c = best + 1; c < classes.size(); c++) {
      if (c != label && !(logits[from + c] <= logits[from + best])) {
        best = c;
      }
    }
    return best;
  }

  /** {@return how many images} */
  public int images() {
    return labels.length;
  }

  /** {@return the share whose label has the largest logit, 0 to 1} */
  public double accuracy() {
    long right = IntStream.range(0, labels.length).filter(i -> labels[i] == predictions[i]).count();
    return (double) right / labels.length;
  }

  /**
   * {@return the share whose label is among the five largest logits; empty with five classes or
   * fewer}
   */
  public OptionalDouble topFive() {
    return classes.size() > TOP
        ? OptionalDouble.of((double) amongTop / labels.length)
        : OptionalDouble.empty();
  }

  /** {@return the mean over images, natural logarithm} */
  public double crossEntropy() {
    return crossEntropy / labels.length;
  }

  /** {@return images by class and by the class they were taken for, [class][taken for]} */
  public int[][] matrix() {
    int[][] matrix = new int[classes.size()][classes.size()];
    for (int i = 0; i < labels.length; i++) {
      matrix[labels[i]][predictions[i]]++;
    }
    return matrix;
  }

  /** Images of each class, [0], and how many of them are right, [1]. */
  private int[][] counts() {
    int[][] counts = new int[2][classes.size()];
    for (int i = 0; i < labels.length; i++) {
      counts[0][labels[i]]++;
      counts[1][labels[i]] += labels[i] == predictions[i] ? 1 : 0;
    }
    return counts;
  }

  /** {@return the mean, over the classes that have images, of the share of them that is right} */
  public double balancedAccuracy() {
    int[][] counts = counts();
    return IntStream.range(0, classes.size())
        .filter(c -> counts[0][c] > 0)
        .mapToDouble(c -> recall(counts, c))
        .average()
        .orElseThrow();
  }

  private static double recall(int[][] counts, int c) {
    return (double) counts[1][c] / counts[0][c];
  }

  /**
   * {@return a text for people: a confusion matrix of at most 20 classes with the recall and the
   * images of each, else the classes that are recognised worst}
   */
  public String text() {
    StringBuilder text = new StringBuilder();
    text.append(String.format(Locale.ROOT, "%d images, top-1 %.4f", images(), accuracy()));
    topFive().ifPresent(top -> text.append(String.format(Locale.ROOT, ", top-5 %.4f", top)));
    text.append(
        String.format(
            Locale.ROOT,
            ", balanced accuracy %.4f, mean cross-entropy %.4f%n",
            balancedAccuracy(),
            crossEntropy()));
    withoutImages(text);
    text.append(System.lineSeparator());
    if (classes.size() <= MOST_CLASSES_IN_TABLE) {
      table(text);
    } else {
      worst(text);
    }
    return text.toString();
  }

  private void withoutImages(StringBuilder text) {
    int[][] counts = counts();
    long empty = Arrays.stream(counts[0]).filter(images -> images == 0).count();
    if (empty > 0) {
      text.append(
          String.format(
              Locale.ROOT,
              "%d of %d classes have no images here; the balanced accuracy is that of the others%n",
              empty,
              classes.size()));
    }
  }

  private void table(StringBuilder text) {
    int[][] matrix = matrix();
    int[][] counts = counts();
    int most = Arrays.stream(matrix).flatMapToInt(Arrays::stream).max().orElse(0);
    int width = Math.max(3, Integer.toString(most).length()) + 1;
    text.append(String.format(Locale.ROOT, "%-20s", "class \\ taken for"));
    for (int c = 0; c < classes.size(); c++) {
      text.append(String.format(Locale.ROOT, "%" + width + "d", c));
    }
    text.append(String.format(Locale.ROOT, "     recall   images%n"));
    for (int c = 0; c < classes.size(); c++) {
      text.append(String.format(Locale.ROOT, "%2d %-17s", c, shortened(classes.get(c))));
      for (int taken : matrix[c]) {
        text.append(String.format(Locale.ROOT, "%" + width + "s", taken == 0 ? "." : taken));
      }
      text.append(String.format(Locale.ROOT, "%11s%9d%n", share(counts, c), counts[0][c]));
    }
  }

  private void worst(StringBuilder text) {
    int[][] counts = counts();
    text.append(
        String.format(
            Locale.ROOT,
            "the %d classes of %d that are recognised worst (--json has all)%n",
            WORST_SHOWN,
            classes.size()));
    IntStream.range(0, classes.size())
        .filter(c -> counts[0][c] > 0)
        .boxed()
        .sorted(Comparator.comparingDouble(c -> recall(counts, c)))
        .limit(WORST_SHOWN)
        .forEach(
            c ->
                text.append(
                    String.format(
                        Locale.ROOT,
                        "  %-17s %s of %d images%n",
                        shortened(classes.get(c)),
                        share(counts, c),
                        counts[0][c])));
  }

  private static String share(int[][] counts, int c) {
    return counts[0][c] == 0 ? "-" : String.format(Locale.ROOT, "%.4f", recall(counts, c));
  }

  private static String shortened(String name) {
    return name.length() <= LONGEST_NAME ? name : name.substring(0, LONGEST_NAME - 1) + "…";
  }

  /** {@return everything as JSON; the matrix only up to 1000 classes} */
  public ObjectNode json() {
    ObjectNode tree = JsonNodeFactory.instance.objectNode();
    tree.put("images", images());
    tree.put("top1", accuracy());
    topFive().ifPresent(top -> tree.put("top5", top));
    tree.put("balanced_accuracy", balancedAccuracy());
    tree.put("cross_entropy", crossEntropy());
    int[][] counts = counts();
    int[][] matrix = classes.size() <= MOST_CLASSES_IN_JSON ? matrix() : null;
    ArrayNode list = tree.putArray("classes");
    for (int c = 0; c < classes.size(); c++) {
      ObjectNode item = list.addObject();
      item.put("name", classes.get(c));
      item.put("images", counts[0][c]);
      item.put("right", counts[1][c]);
      item.put("recall", counts[0][c] == 0 ? null : (Double) recall(counts, c));
      if (matrix != null) {
        ArrayNode row = item.putArray("taken_for");
        Arrays.stream(matrix[c]).forEach(row::add);
      }
    }
    return tree;
  }
}
