package io.fbnet.nas.report;

import io.fbnet.nas.file.Document;
import io.fbnet.nas.file.Node;
import io.fbnet.nas.run.RunFiles;
import io.fbnet.nas.search.ChildrenFile;
import io.fbnet.nas.search.Course;
import io.fbnet.nas.search.SamplesFile;
import io.fbnet.nas.space.Block;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * What a comparison takes of a finished search.
 *
 * @param strategy that searched
 * @param seed of the search
 * @param macs multiply-adds of training, recalibration and scoring
 * @param seconds of the device
 * @param scored networks that were scored
 * @param latencyMs of the network found, by the table; no number where there is none
 * @param score of the network found, by what scored it in the search, 0 to 1
 * @param value by which it is judged
 * @param course the best up to there against what was spent
 * @param blocks of the network found
 */
public record ComparedRun(
    String strategy,
    long seed,
    double macs,
    double seconds,
    int scored,
    double latencyMs,
    double score,
    double value,
    List<Course.Scored> course,
    List<String> blocks) {
  /** Copies the lists. */
  public ComparedRun {
    course = List.copyOf(course);
    blocks = List.copyOf(blocks);
  }

  /**
   * {@return what a search's folder says; empty where it is not finished}
   *
   * @param root the folder of a run
   * @param measure what its network is judged by: of children there must be some
   * @throws io.fbnet.nas.UserException exit code 2 if the folder holds no run, 3 if a file of it is
   *     wrong
   */
  public static Optional<ComparedRun> read(Path root, Measure measure) {
    RunFiles files = RunFiles.existing(root);
    boolean children = measure == Measure.CHILDREN;
    if (!Files.exists(files.samples()) || children && !Files.exists(files.children())) {
      return Optional.empty();
    }
    Map<String, Node> config = Document.yaml(files.config()).mapping();
    Course course = Course.read(files.cost());
    SamplesFile samples = SamplesFile.read(files.samples());
    List<String> blocks;
    double latency;
    double score;
    double value;
    if (children) {
      ChildrenFile trained = ChildrenFile.read(files.children());
      blocks = trained.kept().blocks();
      latency = trained.kept().latencyMs();
      score = trained.kept().accuracy();
      value = trained.testAccuracy();
    } else {
      Optional<SamplesFile.Sample> best =
          samples.samples().stream().filter(SamplesFile.Sample::best).findFirst();
      blocks = best.map(b -> b.blocks().stream().map(Block::name).toList()).orElse(List.of());
      latency = best.map(SamplesFile.Sample::latencyMs).orElse(Double.NaN);
      score = best.map(SamplesFile.Sample::accuracy).orElse(Double.NaN);
      value = samples.testAccuracy();
    }
    return Optional.of(
        new ComparedRun(
            text(config, "strategy", "fbnet"),
            Long.parseLong(text(config, "seed", "1")),
            course.macs(),
            course.seconds(),
            (int) samples.samples().stream().filter(s -> !s.uniform()).count(),
            latency,
            score,
            value,
            course.best(),
            blocks));
  }

  /** The same under another name than its strategy's. */
  ComparedRun named(String name) {
    return new ComparedRun(
        name, seed, macs, seconds, scored, latencyMs, score, value, course, blocks);
  }

  private static String text(Map<String, Node> config, String key, String otherwise) {
    Node node = config.get(key);
    return node == null ? otherwise : node.scalar().orElse(otherwise);
  }
}
