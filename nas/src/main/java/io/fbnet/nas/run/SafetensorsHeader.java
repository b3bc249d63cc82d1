package io.fbnet.nas.run;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.nas.UserException;
import io.fbnet.nas.file.Document;
import io.fbnet.nas.file.Node;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The JSON header of a safetensors file: what each tensor is and where its bytes lie in the data
 * section.
 *
 * @param entries by tensor name, in the order of their bytes
 * @param metadata free texts
 */
record SafetensorsHeader(Map<String, Entry> entries, Map<String, String> metadata) {
  static final String METADATA = "__metadata__";

  /** Place of a tensor: bytes {@code begin} to {@code end} (exclusive) of the data section. */
  record Entry(Tensor.Type type, List<Long> shape, long begin, long end) {}

  /** The header for tensors laid out in the order given. */
  static SafetensorsHeader of(List<Tensor> tensors, Map<String, String> metadata) {
    Map<String, Entry> entries = new LinkedHashMap<>();
    long offset = 0;
    for (Tensor tensor : tensors) {
      long end = offset + tensor.data().byteSize();
      Entry entry = new Entry(tensor.type(), tensor.shape(), offset, end);
      if (entries.put(tensor.name(), entry) != null) {
        throw new IllegalArgumentException("two tensors are called " + tensor.name());
      }
      offset = end;
    }
    return new SafetensorsHeader(entries, metadata);
  }

  long dataBytes() {
    return entries.values().stream().mapToLong(Entry::end).max().orElse(0);
  }

  /** Compact JSON, padded with spaces so that the data starts at a multiple of eight. */
  String text() {
    ObjectNode tree = JsonNodeFactory.instance.objectNode();
    if (!metadata.isEmpty()) {
      ObjectNode texts = tree.putObject(METADATA);
      metadata.forEach(texts::put);
    }
    entries.forEach(
        (name, entry) -> {
          ObjectNode item = tree.putObject(name);
          item.put("dtype", entry.type().name());
          ArrayNode shape = item.putArray("shape");
          entry.shape().forEach(shape::add);
          item.putArray("data_offsets").add(entry.begin()).add(entry.end());
        });
    String json = tree.toString();
    int bytes = json.getBytes(StandardCharsets.UTF_8).length;
    return json + " ".repeat((8 - bytes % 8) % 8);
  }

  /**
   * Reads a header strictly.
   *
   * @param file what complaints name
   * @param dataBytes length of the data section, which the tensors must fill without gap or overlap
   */
  static SafetensorsHeader parse(String file, String json, long dataBytes) {
    Map<String, Entry> entries = new LinkedHashMap<>();
    Map<String, String> metadata = new LinkedHashMap<>();
    for (Map.Entry<String, Node> field : Document.json(file, json).mapping().entrySet()) {
      if (field.getKey().equals(METADATA)) {
        field.getValue().mapping().forEach((key, value) -> metadata.put(key, plain(value)));
      } else {
        entries.put(field.getKey(), entry(file, field.getKey(), field.getValue(), dataBytes));
      }
    }
    List<Map.Entry<String, Entry>> ordered = new ArrayList<>(entries.entrySet());
    // An empty tensor may stand where another begins: the shorter goes first.
    ordered.sort(
        Comparator.<Map.Entry<String, Entry>>comparingLong(e -> e.getValue().begin())
            .thenComparingLong(e -> e.getValue().end()));
    entries.clear();
    long offset = 0;
    for (Map.Entry<String, Entry> next : ordered) {
      if (next.getValue().begin() != offset) {
        throw UserException.data(
            "%s: the tensor '%s' begins at byte %d, where %d was due: tensors %s; the file is"
                + " damaged",
            file,
            next.getKey(),
            next.getValue().begin(),
            offset,
            next.getValue().begin() < offset ? "overlap" : "leave a gap");
      }
      offset = next.getValue().end();
      entries.put(next.getKey(), next.getValue());
    }
    if (offset != dataBytes) {
      throw UserException.data(
          "%s: the tensors end at byte %d of the data, which has %d bytes; the file is damaged",
          file, offset, dataBytes);
    }
    return new SafetensorsHeader(entries, metadata);
  }

  private static String plain(Node node) {
    return node.scalar().orElseThrow(() -> node.wrong("must be a text, but is " + node.shown()));
  }

  private static Entry entry(String file, String name, Node node, long dataBytes) {
    Node.Fields fields = node.fields("dtype", "shape", "data_offsets");
    Tensor.Type type = type(fields.required("dtype"));
    List<Long> shape = new ArrayList<>();
    for (Node length : fields.required("shape").list(0, 32)) {
      shape.add(length.integer(0, Long.MAX_VALUE));
    }
    List<Node> offsets = fields.required("data_offsets").list(2, 2);
    long begin = offsets.get(0).integer(0, Long.MAX_VALUE);
    long end = offsets.get(1).integer(0, Long.MAX_VALUE);
    if (end < begin || end > dataBytes) {
      throw UserException.data(
          "%s: the tensor '%s' lies at bytes %d to %d, outside of the %d bytes of data; the file is"
              + " truncated or damaged",
          file, name, begin, end, dataBytes);
    }
    long bytes;
    try {
      bytes = Tensor.byteCount(type, shape);
    } catch (ArithmeticException e) {
      throw UserException.data("%s: the shape %s of '%s' is impossible", file, shape, name);
    }
    if (end - begin != bytes) {
      throw UserException.data(
          "%s: the tensor '%s' of shape %s and type %s needs %d bytes, but has %d; the file is"
              + " damaged",
          file, name, shape, type, bytes, end - begin);
    }
    return new Entry(type, List.copyOf(shape), begin, end);
  }

  private static Tensor.Type type(Node node) {
    String name = node.text();
    for (Tensor.Type type : Tensor.Type.values()) {
      if (type.name().equals(name)) {
        return type;
      }
    }
    throw node.wrong(
        "is '" + name + "', a type this program does not read (it reads F32, F64, I32, I64, U8)");
  }
}
