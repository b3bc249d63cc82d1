package io.fbnet.nas.run;

import io.fbnet.nas.UserException;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Where the files of a run lie. It locks nothing, so a run can be looked at while it goes on.
 *
 * @param root the run's folder
 */
public record RunFiles(Path root) {
  static final String CONFIG = "config.yaml";
  static final String SPACE = "space.yaml";
  static final String LATENCY = "latency.json";
  static final String RECIPE = "recipe.yaml";
  static final String ARCHITECTURE = "architecture.json";

  /** The name of the copy of the model that a training began from. */
  public static final String FROM = "from.safetensors";

  /**
   * {@return the files of an existing run}
   *
   * @param root the run's folder
   * @throws UserException (exit code 2) if the folder holds none
   */
  public static RunFiles existing(Path root) {
    RunFiles files = new RunFiles(root);
    if (!Files.isRegularFile(files.config())) {
      throw UserException.usage(
          "%s holds no run (it has no %s): name the folder of a run", root, CONFIG);
    }
    return files;
  }

  /** {@return the resolved configuration: every flag of the run} Written first; it marks a run. */
  public Path config() {
    return root.resolve(CONFIG);
  }

  /** {@return the search space of a search, with all that its flags changed about it} */
  public Path space() {
    return root.resolve(SPACE);
  }

  /** {@return how a comparison trains networks from scratch} */
  public Path recipe() {
    return root.resolve(RECIPE);
  }

  /** {@return the latency table that the run uses, a copy of its own} */
  public Path latency() {
    return root.resolve(LATENCY);
  }

  /** {@return the record of steps and epochs, a {@link MetricsLog}} */
  public Path metrics() {
    return root.resolve("metrics.jsonl");
  }

  /** {@return the folder of {@link Checkpoints}} */
  public Path checkpoints() {
    return root.resolve("checkpoints");
  }

  /** {@return the file of the run's result, an architecture} */
  public Path architecture() {
    return root.resolve(ARCHITECTURE);
  }

  /**
   * {@return the file of the architectures that were drawn and scored when the result was chosen}
   */
  public Path samples() {
    return root.resolve("samples.json");
  }

  /** {@return the file of what a search's networks reached when they were trained from scratch} */
  public Path children() {
    return root.resolve("children.json");
  }

  /** {@return the record of networks that a controller proposed and their scores} */
  public Path evaluations() {
    return root.resolve("evaluations.jsonl");
  }

  /** {@return the record of multiply-adds and seconds that the run took} */
  public Path cost() {
    return root.resolve("cost.jsonl");
  }

  /** {@return the same of an evolution on a finished search} */
  public Path evolution() {
    return root.resolve("evolution.jsonl");
  }

  /** {@return the copy of the model that a training began from; there is none from scratch} */
  public Path from() {
    return root.resolve(FROM);
  }

  /** {@return what a training was, for whoever uses its network} */
  public Path card() {
    return root.resolve("card.md");
  }

  /** {@return the run as one page for people} */
  public Path report() {
    return root.resolve("report.html");
  }
}
