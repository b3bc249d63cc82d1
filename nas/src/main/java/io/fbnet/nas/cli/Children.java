package io.fbnet.nas.cli;

import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.data.ImageSet;
import io.fbnet.nas.model.TrainedNetwork;
import io.fbnet.nas.network.Description;
import io.fbnet.nas.run.RunFolder;
import io.fbnet.nas.search.ChildrenFile;
import io.fbnet.nas.search.Objective;
import io.fbnet.nas.search.Search;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.Block;
import io.fbnet.nas.train.Quality;
import io.fbnet.nas.train.Recipe;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.IntStream;

/**
 * Trains draws from a search's theta from scratch and keeps the best by the search's {@link
 * Objective}. Each child is a run folder of its own, RUN/children/NN, which {@code fbnet train
 * --resume} could continue as well.
 */
final class Children {
  private static final String FOLDER = "children";

  private final Search search;
  private final RunFolder folder;
  private final Recipe recipe;
  private final Console console;
  private final FromScratch training;
  private final Continuation continuation;

  /** A trained child. */
  private record Child(
      int number,
      Architecture architecture,
      TrainedNetwork.Latency latency,
      TrainedNetwork network,
      double accuracy,
      double loss,
      double objective) {}

  /**
   * Children of one search.
   *
   * @param recipeText the recipe as lines of a configuration
   * @param dataAndDevice the search's data and device as lines of a configuration
   * @param changedData whether children go on with images that are not their checkpoint's
   * @param continuation by which the user goes on after a stop
   */
  Children(
      Search search,
      RunFolder folder,
      RecipeFlags flags,
      String recipeText,
      String dataAndDevice,
      boolean changedData,
      Console console,
      ProgressLine progress,
      StopSignals signals,
      Continuation continuation) {
    this.search = search;
    this.folder = folder;
    this.console = console;
    recipe = flags.recipe(search.settings().heldOut());
    this.continuation = continuation;
    training =
        new FromScratch(
            search.backend(),
            search.data(),
            recipe,
            recipeText,
            dataAndDevice,
            changedData,
            console,
            progress,
            signals,
            continuation);
  }

  /**
   * {@return which of a search's children are not trained, from 0}
   *
   * @param root the folder of the search
   * @param count how many children there are
   */
  static IntStream left(Path root, int count) {
    return IntStream.range(0, count)
        .filter(i -> !Files.exists(root(root, i + 1).resolve(RunFolder.MODEL)));
  }

  private static Path root(Path search, int number) {
    return search.resolve(FOLDER).resolve(String.format(Locale.ROOT, "%02d", number));
  }

  /** Warns of uneven classes about which the recipe does nothing. */
  void warnOfClasses() {
    ImageSet images = search.data().train();
    ClassFlags.warn(recipe.balance(), images, recipe.trained(images), console);
  }

  /** Trains some of the networks, as another process may the others. */
  void train(List<int[]> choices, IntStream some) {
    search.supernet().releaseSteps();
    some.forEach(
        i -> {
          Architecture architecture = Architecture.of("", search.space(), choices.get(i));
          var _ =
              training.network(
                  root(folder.root(), i + 1),
                  architecture,
                  Optional.of(latency(architecture)),
                  what(i + 1, choices.size()));
        });
  }

  /** Trains networks, reports on all, and writes the best. */
  void train(List<int[]> choices) {
    search.supernet().releaseSteps();
    List<Child> children = new ArrayList<>();
    for (int i = 0; i < choices.size(); i++) {
      children.add(
          child(i + 1, Architecture.of("", search.space(), choices.get(i)), choices.size()));
    }
    Child best = children.stream().min(Comparator.comparingDouble(Child::objective)).orElseThrow();
    continuation.of(() -> keep(best, children));
  }

  private Child child(int number, Architecture architecture, int count) {
    TrainedNetwork.Latency latency = latency(architecture);
    FromScratch.Trained trained =
        training.train(
            root(folder.root(), number), architecture, Optional.of(latency), what(number, count));
    Quality quality = trained.quality();
    double ce = quality.crossEntropy();
    Objective objective = search.objective();
    return new Child(
        number,
        architecture,
        latency,
        trained.network(),
        quality.accuracy(),
        objective.loss(ce, latency.ms()),
        objective.of(quality.accuracy(), ce, latency.ms()));
  }

  private TrainedNetwork.Latency latency(Architecture architecture) {
    return new TrainedNetwork.Latency(
        search.table().device(),
        search.table().latencyOf(architecture),
        folder.latency().toString());
  }

  private static String what(int number, int count) {
    return String.format(Locale.ROOT, "child %d of %d", number, count);
  }

  private void keep(Child best, List<Child> children) {
    Dataset data = search.data();
    int[] all = IntStream.range(0, data.test().size()).toArray();
    double test =
        Quality.of(search.backend(), best.network(), data.test(), all, recipe.batch()).accuracy();
    TrainedNetwork network = best.network().withTestAccuracy(test);
    best.architecture().write(folder.architecture());
    network.write(folder.model());
    new ChildrenFile(
            children.stream()
                .map(
                    child ->
                        new ChildrenFile.Child(
                            child.architecture().blocks().stream().map(Block::name).toList(),
                            child.latency().ms(),
                            child.accuracy(),
                            child.number() == best.number()))
                .toList(),
            test,
            data.test().size())
        .write(folder.files().children());
    StringBuilder text = new StringBuilder();
    text.append(
        String.format(
            Locale.ROOT,
            "%-18s %10s %10s %8s   blocks%n",
            "trained",
            "latency",
            "held out",
            "loss"));
    for (Child child : children) {
      text.append(
          String.format(
              Locale.ROOT,
              "%s %-16d %7.4f ms %10.4f %8.4f   %s%n",
              child.number() == best.number() ? "*" : " ",
              child.number(),
              child.latency().ms(),
              child.accuracy(),
              child.loss(),
              child.architecture().blockLine()));
    }
    Description description = Description.of(best.architecture());
    text.append(
        String.format(
            Locale.ROOT,
            "%nKept child %d: latency %.4f ms (table), %.2f M multiply-adds, %.3f M parameters%n"
                + "  accuracy %.4f on %d held out training images, %.4f on the %d test images of"
                + " %s%s%n  written to %s%n",
            best.number(),
            best.latency().ms(),
            description.macs() / 1e6,
            description.parameters() / 1e6,
            best.accuracy(),
            recipe.heldOut(data.train()).length,
            test,
            data.test().size(),
            data.name(),
            data.generated() ? " (generated)" : "",
            folder.model()));
    console.print(text.toString());
  }
}
