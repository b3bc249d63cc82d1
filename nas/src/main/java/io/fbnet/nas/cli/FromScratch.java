package io.fbnet.nas.cli;

import io.fbnet.engine.backend.Backend;
import io.fbnet.nas.UserException;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.data.ImageSet;
import io.fbnet.nas.file.AtomicFile;
import io.fbnet.nas.file.IoReason;
import io.fbnet.nas.model.TrainedNetwork;
import io.fbnet.nas.run.RunFolder;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.train.HoldOut;
import io.fbnet.nas.train.Quality;
import io.fbnet.nas.train.Recipe;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashSet;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * Networks that are trained from scratch by one recipe and judged on the images that it holds out,
 * each in a run folder of its own, which {@code fbnet train --resume} could continue as well. What
 * is trained is not trained again.
 */
final class FromScratch {
  /** Flags that a configuration lacks where they are off. */
  private static final Set<String> OFF_WHERE_ABSENT =
      Set.of("crop", "jitter", "rand-augment", "cutout", "mixup");

  private final Backend backend;
  private final Dataset data;
  private final Recipe recipe;
  private final String recipeText;
  private final String dataAndDevice;
  private final ChildTraining training;
  private final Console console;
  private final Continuation continuation;

  /** A network and how good it is on the held out images. */
  record Trained(TrainedNetwork network, Quality quality) {}

  /**
   * Trainings.
   *
   * @param recipeText the recipe as lines of a configuration, without what it holds out
   * @param dataAndDevice data and device as lines of a configuration
   * @param changedData whether a training goes on with images that are not its checkpoint's
   * @param continuation by which the user goes on after a stop
   */
  FromScratch(
      Backend backend,
      Dataset data,
      Recipe recipe,
      String recipeText,
      String dataAndDevice,
      boolean changedData,
      Console console,
      ProgressLine progress,
      StopSignals signals,
      Continuation continuation) {
    this.backend = backend;
    this.data = data;
    this.recipe = recipe;
    this.recipeText = recipeText + heldOut(recipe);
    this.dataAndDevice = dataAndDevice;
    this.console = console;
    this.continuation = continuation;
    recipe.require(data);
    training =
        new ChildTraining(
            backend, data, recipe, changedData, console, progress, signals, continuation);
  }

  /** The division as lines of a configuration, without those that say what is so anyway. */
  private static String heldOut(Recipe recipe) {
    HoldOut theta = recipe.holdOut();
    return "hold-out: "
        + theta.share()
        + (theta.seed() == recipe.seed() ? "" : "\nsplit-seed: " + theta.seed())
        + (theta.of() == recipe.trainImages() ? "" : "\nhold-out-of: " + theta.of())
        + "\n";
  }

  /** Trains a network to the end, or reads what was trained, and judges it. */
  Trained train(
      Path root, Architecture architecture, Optional<TrainedNetwork.Latency> latency, String what) {
    TrainedNetwork network = network(root, architecture, latency, what);
    ImageSet images = data.train();
    Quality quality =
        continuation.of(
            () -> Quality.of(backend, network, images, recipe.heldOut(images), recipe.batch()));
    return new Trained(network, quality);
  }

  /** The same without a judgement. */
  TrainedNetwork network(
      Path root, Architecture architecture, Optional<TrainedNetwork.Latency> latency, String what) {
    try (RunFolder folder = open(root, architecture)) {
      if (Files.exists(folder.model())) {
        console.note(what + " is trained already");
        return TrainedNetwork.read(folder.model());
      }
      TrainedNetwork network =
          training.train(folder, architecture, latency, Optional.empty(), what + ", ");
      network.write(folder.model());
      return network;
    }
  }

  /** A network's folder, new or from an earlier command that must have asked for the same. */
  private RunFolder open(Path root, Architecture architecture) {
    boolean isNew = !Files.exists(root.resolve(RunConfig.FILE));
    RunFolder child = isNew ? RunFolder.create(root) : RunFolder.open(root);
    try {
      if (isNew) {
        architecture.write(child.architecture());
        // The configuration last: it is what makes the folder a run that can be resumed.
        AtomicFile.writeText(child.config(), recipeText + dataAndDevice);
        return child;
      }
      requireRecipe(child);
      if (!Files.exists(child.architecture())) {
        architecture.write(child.architecture());
      } else if (!Arrays.equals(
          Architecture.load(child.architecture().toString()).choice(), architecture.choice())) {
        throw UserException.usage(
            "%s holds another architecture than theta gives now: remove %s to train anew",
            root, root.getParent());
      }
      return child;
    } catch (RuntimeException e) {
      child.close();
      throw e;
    }
  }

  private void requireRecipe(RunFolder child) {
    Set<String> lines = new HashSet<>();
    try {
      lines.addAll(Files.readAllLines(child.config()));
    } catch (IOException e) {
      throw UserException.data("%s cannot be read (%s)", child.config(), IoReason.of(e));
    }
    ClassFlags.fillIn(lines);
    Set<String> wanted = recipeText.lines().collect(Collectors.toSet());
    for (String line : recipeText.lines().toList()) {
      if (!lines.contains(line)) {
        throw otherFlags(child, ofKey(lines, key(line)), line);
      }
    }
    for (String line : lines) {
      if (OFF_WHERE_ABSENT.contains(key(line)) && !wanted.contains(line)) {
        throw otherFlags(child, line, ofKey(wanted, key(line)));
      }
    }
  }

  private static UserException otherFlags(RunFolder child, String then, String now) {
    return UserException.usage(
        "%s was begun with other flags (then %s, now %s): give the same, or remove %s to train"
            + " anew",
        child.root(), then, now, child.root().getParent());
  }

  private static String key(String line) {
    return line.replaceFirst(":.*", "");
  }

  private static String ofKey(Set<String> lines, String key) {
    return lines.stream().filter(line -> key(line).equals(key)).findFirst().orElse("no " + key);
  }
}
