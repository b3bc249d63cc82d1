package io.fbnet.nas.latency;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.nas.UserException;
import io.fbnet.nas.file.Node;
import io.fbnet.nas.space.Block;
import io.fbnet.nas.space.BlockType;
import io.fbnet.nas.space.LayerSpec;
import io.fbnet.nas.space.SearchSpace;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;

/**
 * A table of ProxylessNAS: one mapping from what an operator is (kind, shapes as height x width x
 * channels, and of MobileNet-V2 blocks expansion, kernel, stride and whether the input is added) to
 * a mapping whose {@code mean} is its time in ms. A block at expansion 1 has no first 1x1
 * convolution there, and none has groups.
 */
final class ProxylessTable {
  private static final Pattern KEY =
      Pattern.compile("(?m)^[\"']?(expanded_conv|Conv|Conv_1|AvgPool2D|Logits)-input:\\d");

  private final Map<String, Node> entries;
  private final String file;
  private final SearchSpace space;
  private final TableImport.Request request;
  private final Set<String> used = new HashSet<>();

  private ProxylessTable(Map<String, Node> entries, String file, TableImport.Request request) {
    this.entries = entries;
    this.file = file;
    this.request = request;
    space = request.requireSpace(file);
  }

  /** Whether a text looks like one. */
  static boolean isOne(String text) {
    return KEY.matcher(text).find();
  }

  static LatencyTable parse(Node node, String file, TableImport.Request request) {
    return new ProxylessTable(node.mapping(), file, request).table();
  }

  private LatencyTable table() {
    if (request.relative()) {
      throw UserException.usage(
          "the times of a ProxylessNAS table are no differences: leave out" + " --relative");
    }
    List<String> missing = new ArrayList<>();
    double[][] ms = new double[space.layerCount()][space.blocks().size()];
    for (LayerSpec layer : space.layers()) {
      for (int k = 0; k < space.blocks().size(); k++) {
        Block block = space.blocks().get(k);
        if (block.isSkip() && layer.keepsShape()) {
          continue;
        }
        Optional<String> key = key(layer, block, space.alwaysPw());
        Optional<Double> found = key.flatMap(this::ms);
        if (found.isEmpty()) {
          String why = key.map(k2 -> "").orElseGet(() -> " (such a block has no key there)");
          missing.add(layer.name() + " " + block.name() + why);
        } else {
          ms[layer.index()][k] = found.get();
        }
      }
    }
    if (!missing.isEmpty()) {
      throw UserException.data(
          "%s lacks %d of the %d entries of the space '%s': %s",
          file,
          missing.size(),
          ms.length * space.blocks().size(),
          space.name(),
          TableImport.some(missing));
    }
    double fixed = fixed();
    List<String> others = entries.keySet().stream().filter(key -> !used.contains(key)).toList();
    if (!others.isEmpty()) {
      request
          .notes()
          .accept(
              String.format(
                  Locale.ROOT,
                  "%s: %d of %d keys stand for nothing in the space '%s' and were left out: %s",
                  file,
                  others.size(),
                  entries.size(),
                  space.name(),
                  TableImport.some(others)));
    }
    String device =
        request
            .device()
            .orElseThrow(
                () -> UserException.usage("%s does not say its device: name it by --device", file));
    return TableImport.build(
        LatencyTable.builder(device, space)
            .fixed(fixed)
            .layers(ms)
            .origin("imported from " + Path.of(file).getFileName())
            .fingerprint(Fingerprint.of("", 0, Map.of(), "", request.batch().orElse(1), "")),
        file);
  }

  /** Stem, head and classifier; a pooling on its own where the table has one. */
  private double fixed() {
    SearchSpace.Input in = space.input();
    LayerSpec last = space.layers().getLast();
    String end = shape(last.outHeight(), last.outWidth(), space.head());
    String stem =
        operator(
            "Conv",
            shape(in.height(), in.width(), in.channels()),
            shape(space.stemHeight(), space.stemWidth(), space.stem().width()));
    String head =
        operator("Conv_1", shape(last.outHeight(), last.outWidth(), last.outChannels()), end);
    Optional<Double> pool = ms(operator("AvgPool2D", end, shape(1, 1, space.head())));
    String classes = Integer.toString(space.classes());
    String logits = operator("Logits", end, classes);
    Map<String, Optional<Double>> needed = new LinkedHashMap<>();
    needed.put(stem, ms(stem));
    needed.put(head, ms(head));
    needed.put(
        logits, ms(logits).or(() -> ms(operator("Logits", shape(1, 1, space.head()), classes))));
    if (request.fixed().isPresent()) {
      return request.unit().orElse(TableImport.Unit.MS).toMs(request.fixed().getAsDouble());
    }
    List<String> missing =
        needed.keySet().stream().filter(key -> needed.get(key).isEmpty()).toList();
    if (!missing.isEmpty()) {
      throw UserException.data(
          "%s lacks what every network pays, %s: name it by --fixed",
          file, String.join(" and ", missing));
    }
    return pool.orElse(0.0) + needed.values().stream().mapToDouble(ms -> ms.orElseThrow()).sum();
  }

  private Optional<Double> ms(String key) {
    Node node = entries.get(key);
    if (node == null) {
      return Optional.empty();
    }
    used.add(key);
    Node mean = node;
    if (node.isMapping()) {
      mean = node.mapping().get("mean");
      if (mean == null) {
        throw node.wrong("lacks the field 'mean'");
      }
    }
    TableImport.Unit unit = request.unit().orElse(TableImport.Unit.MS);
    return Optional.of(unit.toMs(mean.number(0, LatencyTable.LONGEST_MS)));
  }

  /** The key of a block; empty where the table has no words for it. */
  private static Optional<String> key(LayerSpec layer, Block block, boolean alwaysPw) {
    String in = shape(layer.inHeight(), layer.inWidth(), layer.inChannels());
    String out = shape(layer.outHeight(), layer.outWidth(), layer.outChannels());
    if (block.isSkip()) {
      return Optional.of(operator("Conv_1", in, out));
    }
    if (!(block instanceof BlockType type)
        || !type.isPlain()
        || type.groups() > 1
        || type.expansion() == 1 && alwaysPw) {
      return Optional.empty();
    }
    return Optional.of(
        operator("expanded_conv", in, out)
            + String.format(
                Locale.ROOT,
                "-expand:%d-kernel:%d-stride:%d-idskip:%d",
                type.expansion(),
                type.kernel(),
                layer.stride(),
                layer.keepsShape() ? 1 : 0));
  }

  private static String operator(String kind, String in, String out) {
    return kind + "-input:" + in + "-output:" + out;
  }

  private static String shape(int height, int width, int channels) {
    return height + "x" + width + "x" + channels;
  }

  /** A table in this form, and what it could not say. */
  record Export(ObjectNode tree, List<String> notes) {}

  /**
   * The blocks that have keys.
   *
   * @throws UserException (exit code 3) if the entries are no times of their own
   */
  static Export export(LatencyTable table, SearchSpace space) {
    if (table.relative()) {
      throw UserException.data(
          "%s holds differences to skip, from which the times that ProxylessNAS keeps cannot be"
              + " told: export it as json or text",
          table.source());
    }
    ObjectNode tree = JsonNodeFactory.instance.objectNode();
    List<String> wordless = new ArrayList<>();
    Map<String, Double> first = new LinkedHashMap<>();
    Set<String> differing = new HashSet<>();
    for (LayerSpec layer : space.layers()) {
      for (int k = 0; k < space.blocks().size(); k++) {
        Block block = space.blocks().get(k);
        if (block.isSkip() && layer.keepsShape()) {
          continue;
        }
        double ms = table.ms(layer.index(), k);
        Optional<String> key = key(layer, block, space.alwaysPw());
        if (key.isEmpty()) {
          wordless.add(layer.name() + " " + block.name());
        } else if (first.putIfAbsent(key.get(), ms) == null) {
          tree.putObject(key.get()).put("mean", ms);
        } else if (first.get(key.get()) != ms) {
          differing.add(key.get());
        }
      }
    }
    List<String> notes = new ArrayList<>();
    if (!wordless.isEmpty()) {
      notes.add(
          String.format(
              Locale.ROOT,
              "%d entries have no key in a ProxylessNAS table and were left out: %s",
              wordless.size(),
              TableImport.some(wordless)));
    }
    if (!differing.isEmpty()) {
      notes.add(
          String.format(
                  Locale.ROOT,
                  "%d keys stand for layers of the same shapes but different times; the first"
                      + " layer's was",
                  differing.size())
              + " written");
    }
    notes.add(
        "what every network pays cannot be told apart there and was left out: give it back by"
            + " --fixed "
            + table.fixed());
    return new Export(tree, notes);
  }
}
