package io.fbnet.nas.cli;

import com.google.errorprone.annotations.FormatMethod;
import io.fbnet.engine.backend.Backend;
import io.fbnet.nas.UserException;
import io.fbnet.nas.cli.FineTuneFlags.Origin;
import io.fbnet.nas.data.ClassCounts;
import io.fbnet.nas.data.DataSource;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.data.Normalisation;
import io.fbnet.nas.model.TrainedNetwork;
import io.fbnet.nas.network.Description;
import io.fbnet.nas.run.RunFiles;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.SearchSpace;
import io.fbnet.nas.train.Quality;
import io.fbnet.nas.train.RankShare;
import io.fbnet.nas.train.Recipe;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.stream.IntStream;

/**
 * What a training was, as Markdown for whoever gets its network: data, recipe, accuracy, cost, and
 * where it came from. It holds no path of the machine, and nothing but what the run knows.
 *
 * @param network as it was trained
 * @param data what it was trained and tested on
 * @param recipe how
 * @param settings values of the run's flags, without those that name places
 * @param origin the model that it began from, if it did
 */
record TrainingCard(
    TrainedNetwork network,
    Dataset data,
    Recipe recipe,
    Map<String, String> settings,
    Optional<Origin> origin) {
  private static final int MOST_CLASSES = 100;

  /** What Markdown takes for more than a letter within a line; any of it may be escaped. */
  private static final String SPECIAL = "\\`*_[]<>|~&!#$:@";

  /**
   * The whole card.
   *
   * @param heldOut how it does on the held out images, if there are any
   * @param test how it does on the test images
   * @param backend where it was trained
   */
  String text(Optional<Quality> heldOut, Quality test, Backend backend) {
    Architecture architecture = network.architecture();
    SearchSpace.Input in = architecture.space().input();
    StringBuilder text = new StringBuilder();
    line(text, "# %s", escaped(architecture.name().isEmpty() ? "Network" : architecture.name()));
    line(
        text,
        "%nTells %d classes of %s images of %dx%d apart. Trained by fbnet %s.",
        network.classes().size(),
        in.channels() == 1 ? "grey" : "colour",
        in.height(),
        in.width(),
        FbnetCommand.version());
    accuracy(text, heldOut, test);
    cost(text);
    data(text);
    origin.ifPresent(from -> origin(text, from));
    recipe(text, backend);
    again(text);
    return text.toString();
  }

  private void accuracy(StringBuilder text, Optional<Quality> heldOut, Quality test) {
    line(text, "%n## Accuracy%n");
    row(text, "images", "how many", "top-1", "top-5", "balanced");
    row(text, "---", "---", "---", "---", "---");
    heldOut.ifPresent(quality -> row(text, "held out of training", quality));
    row(text, "test", test);
    line(
        text,
        "%nBalanced accuracy is the mean of the classes' recalls.%s",
        recipe.ema() > 0 ? " All are of the moving average, which is what the model holds." : "");
  }

  private static void row(StringBuilder text, String what, Quality quality) {
    OptionalDouble top = quality.topFive();
    row(
        text,
        what,
        Integer.toString(quality.images()),
        share(quality.accuracy()),
        top.isPresent() ? share(top.getAsDouble()) : "-",
        share(quality.balancedAccuracy()));
  }

  private static String share(double value) {
    return String.format(Locale.ROOT, "%.4f", value);
  }

  private void cost(StringBuilder text) {
    Description description = Description.of(network.architecture());
    line(text, "%n## Network%n");
    head(text, "what", "value");
    row(text, "space", escaped(network.architecture().space().name()));
    row(text, "blocks", escaped(network.architecture().blockLine()));
    row(text, "multiply-adds", Long.toString(description.macs()));
    row(text, "parameters", Long.toString(description.parameters()));
    row(
        text,
        "latency",
        network
            .latency()
            .map(
                known ->
                    String.format(
                        Locale.ROOT,
                        "%.4f ms an image on %s, by the table %s",
                        known.ms(),
                        escaped(known.device()),
                        escaped(known.table())))
            .orElse("not known: the training was given no table (`--lut`)"));
  }

  private static String lastName(String path) {
    Path name = Path.of(path).getFileName();
    return name == null ? path : name.toString();
  }

  private void data(StringBuilder text) {
    int[] trained = recipe.trained(data.train());
    int[] heldOut = recipe.heldOut(data.train());
    int[] test = IntStream.range(0, data.test().size()).toArray();
    line(text, "%n## Data%n");
    head(text, "what", "value");
    row(text, "name", escaped(data.name()) + (data.generated() ? " (generated)" : ""));
    row(text, "training images", trained.length + " of " + data.train().size());
    row(text, "held out", Integer.toString(heldOut.length));
    row(text, "test images", Integer.toString(test.length));
    row(text, "fingerprint", "`" + data.fingerprint() + "`");
    Normalisation normalisation = network.normalisation();
    row(
        text,
        "normalisation",
        String.format(
            Locale.ROOT,
            "mean %s, deviation %s%s",
            numbers(normalisation.mean()),
            numbers(normalisation.std()),
            origin.isPresent() ? ", of the model that it began from" : ""));
    text.append(System.lineSeparator());
    List<Integer> trainedOn = ClassCounts.of(data.train(), trained).images();
    List<Integer> held = ClassCounts.of(data.train(), heldOut).images();
    List<Integer> tested = ClassCounts.of(data.test(), test).images();
    head(text, "class", "trained on", "held out", "tested on");
    List<String> classes = data.classes();
    for (int c = 0; c < Math.min(MOST_CLASSES, classes.size()); c++) {
      row(
          text,
          escaped(classes.get(c)),
          trainedOn.get(c).toString(),
          held.get(c).toString(),
          tested.get(c).toString());
    }
    if (classes.size() > MOST_CLASSES) {
      line(text, "%nAnd %d classes more.", classes.size() - MOST_CLASSES);
    }
  }

  private static String numbers(List<Float> values) {
    return values.stream().map(v -> String.format(Locale.ROOT, "%.4f", v)).toList().toString();
  }

  private void origin(StringBuilder text, Origin from) {
    TrainedNetwork model = from.model();
    boolean kept = from.on(data).keepsClassifier();
    line(text, "%n## Begun from%n");
    head(text, "what", "value");
    row(text, "model", escaped(lastName(from.named().toString())));
    row(text, "SHA-256", "`" + from.sha256() + "`");
    row(text, "trained on", model.data().isEmpty() ? "not known" : escaped(model.data()));
    row(
        text,
        "classifier",
        kept ? "kept" : "made anew: the model's " + model.classes().size() + " classes are others");
  }

  private void recipe(StringBuilder text, Backend backend) {
    line(text, "%n## Recipe%n");
    head(text, "flag", "value");
    settings.forEach((name, value) -> row(text, name, escaped(unquoted(value))));
    line(text, "%nTrained on %s:%n", escaped(backend.device()));
    head(text, "condition", "value");
    RankShare.environment(backend)
        .forEach((name, value) -> row(text, escaped(name), escaped(value)));
  }

  private static String unquoted(String value) {
    return value.startsWith("\"") ? value.substring(1, value.length() - 1) : value;
  }

  private void again(StringBuilder text) {
    boolean named = DataSource.NAMES.contains(data.name());
    line(
        text,
        "%n## Again%n%nIn the run's folder%s:%n",
        named ? "" : ", where DIR holds the images of " + escaped(data.name()));
    line(
        text,
        "```sh%nfbnet train architecture.json --config config.yaml%s%s%s --out ../again%n```",
        origin.isPresent() ? " --from " + RunFiles.FROM : "",
        network.latency().isPresent() ? " --lut latency.json" : "",
        named ? "" : " --data DIR");
  }

  private static void head(StringBuilder text, String... cells) {
    row(text, cells);
    row(text, IntStream.range(0, cells.length).mapToObj(c -> "---").toArray(String[]::new));
  }

  private static void row(StringBuilder text, String... cells) {
    line(text, "| %s |", String.join(" | ", cells));
  }

  @FormatMethod
  private static void line(StringBuilder text, String format, Object... arguments) {
    text.append(String.format(Locale.ROOT, format, arguments)).append(System.lineSeparator());
  }

  /** A name as one line that Markdown shows as it is, whatever is in it. */
  static String escaped(String name) {
    StringBuilder text = new StringBuilder();
    for (char c : UserException.plain(name).toCharArray()) {
      if (SPECIAL.indexOf(c) >= 0) {
        text.append('\\');
      }
      text.append(c);
    }
    return text.toString();
  }
}
