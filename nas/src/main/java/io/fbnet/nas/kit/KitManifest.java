package io.fbnet.nas.kit;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.nas.UserException;
import io.fbnet.nas.file.AtomicFile;
import io.fbnet.nas.file.Document;
import io.fbnet.nas.file.JsonText;
import io.fbnet.nas.file.Node;
import io.fbnet.nas.latency.SpaceKey;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.regex.Pattern;

/**
 * What a kit holds.
 *
 * @param space the outline and the candidates
 * @param batch images a run
 * @param precision f32, or int8 for networks in eight bits
 * @param protocol how the files are to be timed
 * @param files in the order of the network
 */
record KitManifest(
    SpaceKey space, int batch, String precision, Protocol protocol, List<Entry> files) {
  static final String NAME = "manifest.json";
  static final int FORMAT = 1;

  /** What values in eight bits are. */
  private static final String UINT8 = "uint8";

  private static final String KIND = "fbnet-latency-kit";
  private static final int LARGEST = 1 << 20;
  private static final int MOST_FILES = 1 << 16;

  /** Of an input: 1 GiB. */
  private static final long MOST_NUMBERS = 1 << 28;

  private static final Pattern FILE = Pattern.compile("[A-Za-z0-9_][A-Za-z0-9_.-]*\\.onnx");
  private static final Pattern SHA256 = Pattern.compile("[0-9a-f]{64}");

  /** What a file is timed for. */
  enum Part {
    /** One trivial operation: what a run costs that computes nothing. */
    CALL,
    STEM,
    BLOCK,
    HEAD
  }

  /**
   * One file.
   *
   * @param name without folder
   * @param bytes its size
   * @param sha256 in lower-case hexadecimal
   * @param part what it is
   * @param block the candidate's name; empty unless it is a block
   * @param layers numbers from 0 of the layers whose candidate it is
   * @param input name of its only input
   * @param shape of the input
   * @param bytesIn whether the input is uint8; f32 otherwise
   */
  record Entry(
      String name,
      long bytes,
      String sha256,
      Part part,
      String block,
      List<Integer> layers,
      String input,
      List<Integer> shape,
      boolean bytesIn) {}

  KitManifest {
    files = List.copyOf(files);
  }

  /** The only file of a part that stands once. */
  Entry only(Part part) {
    return files.stream().filter(e -> e.part() == part).findFirst().orElseThrow();
  }

  /** Reads the manifest of the kit in a folder. */
  static KitManifest read(Path folder) {
    Path file = folder.resolve(NAME);
    if (!Files.isRegularFile(file)) {
      throw UserException.data(
          "%s is no latency kit: it has no %s ('fbnet latency kit --out DIR' makes one)",
          folder, NAME);
    }
    return parse(Document.json(file));
  }

  static KitManifest parse(Node node) {
    Node.Fields fields =
        node.fields(
            "format",
            "kind",
            "program",
            "space",
            "batch",
            "precision",
            "batch_norms",
            "protocol",
            "files");
    fields.required("format").requireVersion(FORMAT);
    Node kind = fields.required("kind");
    if (!kind.text().equals(KIND)) {
      throw kind.wrong("must be \"" + KIND + "\", but is " + kind.shown());
    }
    SpaceKey space = SpaceKey.parse(fields.required("space"));
    Node list = fields.required("files");
    List<Entry> files = new ArrayList<>();
    Set<String> names = new HashSet<>();
    for (Node item : list.list(1, MOST_FILES)) {
      Entry entry = entry(item, space);
      if (!names.add(entry.name())) {
        throw item.wrong("names the file " + entry.name() + " a second time");
      }
      files.add(entry);
    }
    for (Part part : new Part[] {Part.CALL, Part.STEM, Part.HEAD}) {
      if (files.stream().filter(e -> e.part() == part).count() != 1) {
        throw list.wrong("must hold one file of the part \"" + word(part) + "\"");
      }
    }
    return new KitManifest(
        space,
        fields.required("batch").integer(1, LARGEST),
        word(fields.required("precision"), Kit.INT8),
        Protocol.parse(fields.required("protocol")),
        files);
  }

  private static Entry entry(Node node, SpaceKey space) {
    Node.Fields fields = node.fields("name", "bytes", "sha256", "part", "block", "layers", "input");
    Node name = fields.required("name");
    if (!FILE.matcher(name.text()).matches()) {
      throw name.wrong("must be the plain name of an .onnx file, but is " + name.shown());
    }
    Node sha256 = fields.required("sha256");
    if (!SHA256.matcher(sha256.text()).matches()) {
      throw sha256.wrong("must be 64 lower-case hexadecimal digits, but is " + sha256.shown());
    }
    Part part = part(fields.required("part"));
    String block = "";
    List<Integer> layers = new ArrayList<>();
    if (part == Part.BLOCK) {
      Node chosen = fields.required("block");
      block = chosen.text();
      if (!space.blocks().contains(block)) {
        throw chosen.wrong("is no block of the kit's space, but " + chosen.shown());
      }
      for (Node layer : fields.required("layers").list(1, space.widths().size())) {
        layers.add(layer.integer(0, space.widths().size() - 1));
      }
    }
    Node.Fields input = fields.required("input").fields("name", "shape", "type");
    List<Integer> shape = new ArrayList<>();
    long numbers = 1;
    for (Node side : input.required("shape").list(4, 4)) {
      shape.add(side.integer(1, LARGEST));
      numbers *= shape.getLast();
      if (numbers > MOST_NUMBERS) {
        throw input.required("shape").wrong("has more than " + MOST_NUMBERS + " numbers");
      }
    }
    return new Entry(
        name.text(),
        fields.required("bytes").integer(0, Long.MAX_VALUE),
        sha256.text(),
        part,
        block,
        List.copyOf(layers),
        input.required("name").text(),
        List.copyOf(shape),
        input.optional("type").map(type -> word(type, UINT8)).orElse(Kit.F32).equals(UINT8));
  }

  /** One of two words. */
  private static String word(Node node, String other) {
    if (!node.text().equals(Kit.F32) && !node.text().equals(other)) {
      throw node.wrong("must be " + Kit.F32 + " or " + other + ", but is " + node.shown());
    }
    return node.text();
  }

  private static Part part(Node node) {
    for (Part part : Part.values()) {
      if (word(part).equals(node.text())) {
        return part;
      }
    }
    throw node.wrong("must be call, stem, block or head, but is " + node.shown());
  }

  private static String word(Part part) {
    return part.name().toLowerCase(Locale.ROOT);
  }

  ObjectNode json() {
    ObjectNode tree = JsonNodeFactory.instance.objectNode();
    String version = KitManifest.class.getPackage().getImplementationVersion();
    tree.put("format", FORMAT)
        .put("kind", KIND)
        .put("program", "fbnet-engine " + (version == null ? "(unpackaged)" : version));
    tree.set("space", space.json());
    tree.put("batch", batch).put("precision", precision).put("batch_norms", "folded");
    tree.set("protocol", protocol.json());
    ArrayNode list = tree.putArray("files");
    for (Entry entry : files) {
      ObjectNode item =
          list.addObject()
              .put("name", entry.name())
              .put("bytes", entry.bytes())
              .put("sha256", entry.sha256())
              .put("part", word(entry.part()));
      if (entry.part() == Part.BLOCK) {
        item.put("block", entry.block());
        entry.layers().forEach(item.putArray("layers")::add);
      }
      ObjectNode input = item.putObject("input").put("name", entry.input());
      entry.shape().forEach(input.putArray("shape")::add);
      if (entry.bytesIn()) {
        input.put("type", UINT8);
      }
    }
    return tree;
  }

  void write(Path folder) {
    AtomicFile.writeText(folder.resolve(NAME), JsonText.of(json()));
  }
}
