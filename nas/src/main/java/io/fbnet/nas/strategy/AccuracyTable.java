package io.fbnet.nas.strategy;

import io.fbnet.nas.UserException;
import io.fbnet.nas.file.Document;
import io.fbnet.nas.file.Node;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.LayerSpec;
import io.fbnet.nas.space.SearchSpace;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.function.Predicate;

/**
 * Accuracies of networks that were trained before, from a file: {@code table:FILE}. Its form is
 * described in {@code docs/formats.md}; the file of NAS-Bench-Macro is read too.
 */
public final class AccuracyTable implements Evaluator {
  private static final int FORMAT = 1;
  private static final int MOST = 1_000_000;
  private static final double LARGEST = 1e30;
  private static final String DIGITS = "[0-9]+";

  private final String file;
  private final SearchSpace space;
  private final Map<List<Integer>, Entry> entries = new HashMap<>();

  /**
   * What is known of a network.
   *
   * @param accuracy what an evaluation finds, 0 to 1
   * @param mean the mean accuracy of several trainings, 0 to 1, by which a choice is judged in the
   *     end; where it is not known the same as {@code accuracy}
   * @param networkMacs multiply-adds of the network for one image, where they are known
   * @param spent what an evaluation takes
   */
  public record Entry(double accuracy, double mean, OptionalLong networkMacs, Spent spent) {}

  private AccuracyTable(String file, SearchSpace space) {
    this.file = file;
    this.space = space;
  }

  /**
   * {@return the accuracies in a file}
   *
   * @param file in one of the forms
   * @param space whose networks they are
   * @throws UserException (exit code 3) if there is no such file, it is wrong, or it is of another
   *     space
   */
  public static AccuracyTable load(Path file, SearchSpace space) {
    AccuracyTable table = new AccuracyTable(file.toString(), space);
    Node node = Document.json(file);
    Map<String, Node> fields = node.mapping();
    if (!fields.isEmpty() && fields.keySet().iterator().next().matches(DIGITS)) {
      fields.forEach(table::addMacro);
    } else {
      table.addAll(node.fields("format", "space", "networks"));
    }
    if (table.entries.isEmpty()) {
      throw node.wrong("holds no network");
    }
    return table;
  }

  private void addAll(Node.Fields fields) {
    fields.required("format").requireVersion(FORMAT);
    Node name = fields.required("space");
    if (!name.text().equals(space.name())) {
      throw name.wrong("is " + name.shown() + ", but the space is '" + space.name() + "'");
    }
    List<String> blocks = space.blockNames();
    for (Node item : fields.required("networks").list(1, MOST)) {
      Node.Fields network =
          item.fields("blocks", "accuracy", "mean_accuracy", "macs", "spent_macs", "spent_seconds");
      List<Node> names = network.required("blocks").list(space.layerCount(), space.layerCount());
      int[] choice = new int[names.size()];
      for (int l = 0; l < choice.length; l++) {
        choice[l] = blocks.indexOf(names.get(l).text());
        requireAllowed(names.get(l), l, choice[l]);
      }
      double accuracy = network.required("accuracy").number(0, 1);
      add(
          item,
          choice,
          new Entry(
              accuracy,
              network.optional("mean_accuracy").map(n -> n.number(0, 1)).orElse(accuracy),
              network
                  .optional("macs")
                  .map(n -> OptionalLong.of(n.integer(0, Long.MAX_VALUE)))
                  .orElse(OptionalLong.empty()),
              new Spent(
                  1,
                  network.optional("spent_macs").map(n -> n.number(0, LARGEST)).orElse(0.0),
                  network.optional("spent_seconds").map(n -> n.number(0, LARGEST)).orElse(0.0))));
    }
  }

  private void requireAllowed(Node node, int layer, int candidate) {
    LayerSpec place = space.layers().get(layer);
    if (candidate < 0
        || candidate >= space.blocks().size()
        || !space.allows(place, space.blocks().get(candidate))) {
      throw node.wrong(
          "names a block that the space '"
              + space.name()
              + "' does not have in layer "
              + place.name()
              + "; it has "
              + String.join(", ", space.blockNames()));
    }
  }

  /** A network of NAS-Bench-Macro: a digit a layer, accuracies in percent. */
  private void addMacro(String key, Node node) {
    if (!key.matches(DIGITS) || key.length() != space.layerCount()) {
      throw node.wrong(
          "is no network of the space '"
              + space.name()
              + "': a digit for each of its "
              + space.layerCount()
              + " layers is wanted");
    }
    int[] choice = key.chars().map(c -> c - '0').toArray();
    for (int l = 0; l < choice.length; l++) {
      requireAllowed(node, l, choice[l]);
    }
    Node.Fields fields = node.fields("test_acc", "mean_acc", "std", "params", "flops");
    add(
        node,
        choice,
        new Entry(
            fields.required("test_acc").list(1, 100).getFirst().number(0, 100) / 100,
            fields.required("mean_acc").number(0, 100) / 100,
            OptionalLong.of(fields.required("flops").integer(0, Long.MAX_VALUE)),
            new Spent(1, 0, 0)));
  }

  private void add(Node node, int[] choice, Entry entry) {
    if (entries.put(key(choice), entry) != null) {
      throw node.wrong("is a network that stands there already");
    }
  }

  private static List<Integer> key(int[] choice) {
    return Arrays.stream(choice).boxed().toList();
  }

  /** {@return how many networks it knows} */
  public int size() {
    return entries.size();
  }

  /**
   * {@return the largest mean accuracy of a network, 0 where it knows none of these}
   *
   * @param inside which networks count
   */
  public double bestMean(Predicate<int[]> inside) {
    double best = 0;
    for (Map.Entry<List<Integer>, Entry> known : entries.entrySet()) {
      int[] choice = known.getKey().stream().mapToInt(Integer::intValue).toArray();
      if (known.getValue().mean() > best && inside.test(choice)) {
        best = known.getValue().mean();
      }
    }
    return best;
  }

  /** {@return whether it says of every network what judging it took in multiply-adds} */
  public boolean knowsMacs() {
    return entries.values().stream().allMatch(entry -> entry.spent().macs() > 0);
  }

  /**
   * {@return what is known of a network}
   *
   * @param choice one candidate a layer
   * @throws UserException (exit code 3) if nothing is
   */
  public Entry entry(int[] choice) {
    Entry entry = entries.get(key(choice));
    if (entry == null) {
      throw UserException.data(
          "%s knows no accuracy of %s: add it, or judge networks by training",
          file, Architecture.of("", space, choice).blockLine());
    }
    return entry;
  }

  @Override
  public Judgement judge(int[] choice) {
    Entry entry = entry(choice);
    return new Judgement(entry.accuracy(), Double.NaN, entry.spent());
  }
}
