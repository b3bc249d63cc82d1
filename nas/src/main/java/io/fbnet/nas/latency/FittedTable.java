package io.fbnet.nas.latency;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.nas.file.Node;
import io.fbnet.nas.space.BlockType;
import io.fbnet.nas.space.SearchSpace;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/**
 * A table in plain JSON: {@code device, unit, batch, macro, blocks, fixed, relative_to, layers,
 * held_out, source}, as least-squares fits to published latencies are kept. It says its outline
 * only in words.
 */
final class FittedTable {
  /** How the words begin that mean the outline of HW-NAS-Bench on 32x32 images. */
  private static final String CIFAR = "fbnet-cifar";

  private static final int CIFAR_CLASSES = 100;
  private static final int CIFAR_HEAD = 1504;
  private static final int MANY = 1 << 20;
  private static final double ROUNDING_MS = 1e-9;

  private FittedTable() {}

  static LatencyTable parse(Node node, String file, TableImport.Request request) {
    Node.Fields fields =
        node.fields(
            "device",
            "unit",
            "batch",
            "macro",
            "blocks",
            "fixed",
            "relative_to",
            "layers",
            "held_out",
            "validated",
            "source",
            "fingerprint");
    Node unit = fields.required("unit");
    TableImport.Unit found =
        switch (unit.text()) {
          case "ms" -> TableImport.Unit.MS;
          case "us" -> TableImport.Unit.US;
          default -> throw unit.wrong("must be \"ms\" or \"us\", but is " + unit.shown());
        };
    SpaceKey key = SpaceKey.of(space(fields.optional("macro"), file, request));
    requireBlocks(fields.required("blocks"), key);
    Optional<Node> relative = fields.optional("relative_to");
    if (relative.isPresent() && !relative.get().text().equals(BlockType.SKIP.name())) {
      throw relative.get().wrong("must be \"skip\", but is " + relative.get().shown());
    }
    double[][] rows =
        LatencyFile.rows(
            fields.required("layers"), key, -LatencyTable.LONGEST_MS, LatencyTable.LONGEST_MS);
    for (double[] row : rows) {
      for (int k = 0; k < row.length; k++) {
        row[k] = found.toMs(row[k]);
      }
    }
    double fixed =
        fields.required("fixed").number(-LatencyTable.LONGEST_MS, LatencyTable.LONGEST_MS);
    LatencyTable.Builder table =
        LatencyTable.builder(request.device().orElse(fields.required("device").text()), key)
            .fixed(unrounded(found.toMs(request.fixed().orElse(fixed))))
            .layers(rows)
            .relative(relative.isPresent() || request.relative());
    fields.optional("held_out").ifPresent(n -> table.validated(validated(n)));
    fields.optional("validated").ifPresent(n -> table.validated(n.text()));
    fields.optional("source").ifPresent(n -> table.origin(n.text()));
    int batch = fields.optional("batch").map(n -> n.integer(1, MANY)).orElse(1);
    Fingerprint conditions =
        fields
            .optional("fingerprint")
            .map(LatencyFile::fingerprint)
            .orElse(Fingerprint.of("", 0, Map.of(), "", batch, ""));
    table.fingerprint(
        new Fingerprint(
            conditions.processor(),
            conditions.threads(),
            conditions.libraries(),
            conditions.precision(),
            request.batch().orElse(batch),
            conditions.date()));
    return TableImport.build(table, file);
  }

  /** A fit leaves what is nothing a rounding error away from it, on either side. */
  private static double unrounded(double ms) {
    return Math.abs(ms) < ROUNDING_MS ? 0 : ms;
  }

  private static SearchSpace space(Optional<Node> macro, String file, TableImport.Request request) {
    boolean cifar = macro.isPresent() && macro.get().text().startsWith(CIFAR);
    if (request.space().isEmpty() && cifar) {
      return SearchSpace.load("cifar").withClasses(CIFAR_CLASSES).withHead(CIFAR_HEAD);
    }
    return request.requireSpace(file);
  }

  private static void requireBlocks(Node blocks, SpaceKey key) {
    List<String> names = blocks.list(1, MANY).stream().map(Node::text).toList();
    if (!names.equals(key.blocks())) {
      throw blocks.wrong(
          String.format(
              Locale.ROOT,
              "are %s, but the space '%s' has %s",
              String.join(", ", names),
              key.name(),
              String.join(", ", key.blocks())));
    }
  }

  private static String validated(Node node) {
    Node.Fields fields = node.fields("architectures", "rmse_over_mean", "kendall_tau");
    int networks = fields.required("architectures").integer(1, MANY);
    double error = fields.required("rmse_over_mean").number(0, 1e6);
    double tau = fields.required("kendall_tau").number(-1, 1);
    if (error == 0 && tau == 1) {
      // No measurement is met without any error: what was fitted were sums already.
      return "not validated on whole networks: the published latencies are themselves sums of a"
          + " block table";
    }
    return String.format(
        Locale.ROOT,
        "%d unseen networks: root mean square error %.1f%% of the mean, Kendall's tau %.2f",
        networks,
        100 * error,
        tau);
  }

  /** The table in this form; its outline is said in words alone. */
  static ObjectNode tree(LatencyTable table) {
    SpaceKey space = table.space();
    ObjectNode tree = JsonNodeFactory.instance.objectNode();
    tree.put("device", table.device())
        .put("unit", LatencyFile.UNIT)
        .put("batch", table.fingerprint().batch())
        .put(
            "macro",
            String.format(
                Locale.ROOT,
                "%s (%dx%dx%d input, %d classes; stem %d, stride %d; %d layers; head %d)",
                space.name(),
                space.input().channels(),
                space.input().height(),
                space.input().width(),
                space.classes(),
                space.stem().width(),
                space.stem().stride(),
                space.widths().size(),
                space.head()));
    space.blocks().forEach(tree.putArray("blocks")::add);
    tree.put("fixed", table.fixed());
    if (table.relative()) {
      tree.put("relative_to", BlockType.SKIP.name());
    }
    tree.set("layers", LatencyFile.tree(table.layers()));
    tree.put("validated", table.validated());
    LatencyFile.putIfKnown(tree, "source", table.origin());
    tree.set("fingerprint", LatencyFile.tree(table.fingerprint()));
    return tree;
  }
}
