package io.fbnet.nas.onnx;

import io.fbnet.engine.graph.Value;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;

/** Names of one kind in an ONNX graph, where none may stand twice. */
final class Names {
  private static final String WEIGHT = ".weight";

  private final Set<String> taken = new HashSet<>();
  private final Map<Value, String> names = new HashMap<>();
  private final Map<Value, String> reserved = new HashMap<>();

  /** Keeps a name for an input or output of the graph; false where it is taken. */
  boolean reserve(Value value, String name) {
    reserved.putIfAbsent(value, name);
    return taken.add(name);
  }

  /** The name itself, or the first of name_2, name_3, ... that nothing has. */
  String fresh(String name) {
    String candidate = name;
    for (int i = 2; !taken.add(candidate); i++) {
      candidate = name + "_" + i;
    }
    return candidate;
  }

  /** Names the value that an operation writes: as reserved, or freshly. */
  String define(Value value, String name) {
    String chosen = reserved.containsKey(value) ? reserved.get(value) : fresh(name);
    names.put(value, chosen);
    return chosen;
  }

  /** Gives a value a name that is known already, such as that of its normalised self. */
  void alias(Value value, String name) {
    names.put(value, name);
  }

  /** Whether the value has a name by now. */
  boolean has(Value value) {
    return names.containsKey(value);
  }

  /** The name of a value that was written before. */
  String of(Value value) {
    String name = names.get(value);
    if (name == null) {
      throw new IllegalArgumentException(value + " is read before anything writes it");
    }
    return name;
  }

  /** What a layer is called by the name of its weight. */
  static String layer(Value weight) {
    String name = weight.name();
    return name.endsWith(WEIGHT) ? name.substring(0, name.length() - WEIGHT.length()) : name;
  }
}
