package io.fbnet.nas.latency;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.nas.UserException;
import io.fbnet.nas.file.Document;
import io.fbnet.nas.file.Nearest;
import io.fbnet.nas.file.Node;
import io.fbnet.nas.file.ResourceText;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/** Reads and writes latency tables as JSON. */
final class LatencyFile {
  static final int FORMAT = 1;
  static final String UNIT = "ms";

  private static final int LARGEST = 1 << 20;

  private LatencyFile() {}

  static LatencyTable load(String nameOrPath) {
    if (builtIns().contains(nameOrPath)) {
      String resource = nameOrPath + ".json";
      return parse(
          Document.json(resource, ResourceText.of(LatencyFile.class, resource)),
          "the built-in latency table " + nameOrPath);
    }
    boolean file;
    try {
      file = Files.isRegularFile(Path.of(nameOrPath));
    } catch (InvalidPathException e) {
      file = false;
    }
    if (!file) {
      throw UserException.data(
          "there is no latency table '%s': it is neither a file nor built in (%s)%s",
          nameOrPath,
          String.join(", ", builtIns()),
          Nearest.to(nameOrPath, builtIns()).map(n -> "; did you mean '" + n + "'?").orElse(""));
    }
    return parse(Document.json(Path.of(nameOrPath)), nameOrPath);
  }

  static List<String> builtIns() {
    return ResourceText.of(LatencyFile.class, "index.txt")
        .lines()
        .filter(line -> !line.isBlank())
        .toList();
  }

  static LatencyTable parse(Node node, String source) {
    Node.Fields fields =
        node.fields(
            "format",
            "unit",
            "device",
            "space",
            "relative",
            "fixed",
            "layers",
            "fixed_spread",
            "spread",
            "yardstick",
            "validated",
            "origin",
            "fingerprint");
    fields.required("format").requireVersion(FORMAT);
    Node unit = fields.required("unit");
    if (!unit.text().equals(UNIT)) {
      throw unit.wrong("must be \"ms\" (milliseconds), but is " + unit.shown());
    }
    SpaceKey space = SpaceKey.parse(fields.required("space"));
    LatencyTable.Builder table =
        new LatencyTable.Builder(fields.required("device").text(), space)
            .source(source)
            .fixed(
                fields.required("fixed").number(-LatencyTable.LONGEST_MS, LatencyTable.LONGEST_MS))
            .layers(
                rows(
                    fields.required("layers"),
                    space,
                    -LatencyTable.LONGEST_MS,
                    LatencyTable.LONGEST_MS))
            .relative(fields.required("relative").flag());
    fields
        .optional("fixed_spread")
        .ifPresent(n -> table.fixedSpread(n.number(0, LatencyTable.LARGEST_SPREAD)));
    fields
        .optional("spread")
        .ifPresent(n -> table.spread(rows(n, space, 0, LatencyTable.LARGEST_SPREAD)));
    fields
        .optional("yardstick")
        .ifPresent(
            n ->
                table.yardstick(
                    n.number(LatencyTable.SHORTEST_YARDSTICK_MS, LatencyTable.LONGEST_MS)));
    fields.optional("validated").ifPresent(n -> table.validated(n.text()));
    fields.optional("origin").ifPresent(n -> table.origin(n.text()));
    fields.optional("fingerprint").ifPresent(n -> table.fingerprint(fingerprint(n)));
    try {
      return table.build();
    } catch (IllegalArgumentException e) {
      throw node.wrong("is no latency table: " + e.getMessage());
    }
  }

  static double[][] rows(Node node, SpaceKey space, double least, double most) {
    List<Node> rows = node.list(space.widths().size(), space.widths().size());
    double[][] table = new double[rows.size()][space.blocks().size()];
    for (int l = 0; l < table.length; l++) {
      List<Node> row = rows.get(l).list(table[l].length, table[l].length);
      for (int k = 0; k < table[l].length; k++) {
        table[l][k] = row.get(k).number(least, most);
      }
    }
    return table;
  }

  static Fingerprint fingerprint(Node node) {
    Node.Fields fields =
        node.fields("processor", "threads", "libraries", "precision", "batch", "date");
    TreeMap<String, String> libraries = new TreeMap<>();
    Optional<Node> versions = fields.optional("libraries");
    if (versions.isPresent()) {
      for (Map.Entry<String, Node> entry : versions.get().mapping().entrySet()) {
        libraries.put(entry.getKey(), entry.getValue().text());
      }
    }
    return new Fingerprint(
        fields.optional("processor").map(Node::text).orElse(""),
        fields.optional("threads").map(n -> n.integer(1, LARGEST)).orElse(0),
        libraries,
        fields.optional("precision").map(Node::text).orElse(""),
        fields.optional("batch").map(n -> n.integer(1, LARGEST)).orElse(1),
        fields.optional("date").map(Node::text).orElse(""));
  }

  static ObjectNode tree(LatencyTable table) {
    ObjectNode tree = JsonNodeFactory.instance.objectNode();
    tree.put("format", FORMAT).put("unit", UNIT).put("device", table.device());
    tree.set("space", table.space().json());
    tree.put("relative", table.relative()).put("fixed", table.fixed());
    tree.set("layers", tree(table.layers()));
    table.fixedSpread().ifPresent(share -> tree.put("fixed_spread", share));
    table.spread().ifPresent(shares -> tree.set("spread", tree(shares)));
    table.yardstick().ifPresent(ms -> tree.put("yardstick", ms));
    tree.put("validated", table.validated());
    putIfKnown(tree, "origin", table.origin());
    tree.set("fingerprint", tree(table.fingerprint()));
    return tree;
  }

  static ObjectNode tree(Fingerprint conditions) {
    ObjectNode fingerprint = JsonNodeFactory.instance.objectNode();
    putIfKnown(fingerprint, "processor", conditions.processor());
    if (conditions.threads() > 0) {
      fingerprint.put("threads", conditions.threads());
    }
    if (!conditions.libraries().isEmpty()) {
      ObjectNode libraries = fingerprint.putObject("libraries");
      conditions.libraries().forEach(libraries::put);
    }
    putIfKnown(fingerprint, "precision", conditions.precision());
    fingerprint.put("batch", conditions.batch());
    putIfKnown(fingerprint, "date", conditions.date());
    return fingerprint;
  }

  static ArrayNode tree(double[][] rows) {
    ArrayNode tree = JsonNodeFactory.instance.arrayNode();
    for (double[] row : rows) {
      ArrayNode line = tree.addArray();
      for (double value : row) {
        line.add(value);
      }
    }
    return tree;
  }

  static void putIfKnown(ObjectNode tree, String key, String value) {
    if (!value.isEmpty()) {
      tree.put(key, value);
    }
  }
}
