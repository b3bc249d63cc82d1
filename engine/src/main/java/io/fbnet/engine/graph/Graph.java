package io.fbnet.engine.graph;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/**
 * An immutable list of operations in the order in which they run.
 *
 * @param ops in order; every input is a stored value or an earlier output
 * @param storage where the values live that are not intermediates
 * @param parameters every parameter that was declared
 * @param outputs values that the caller may read after a step, by name
 */
public record Graph(
    List<Op> ops,
    Map<Value, Storage> storage,
    List<ParameterSpec> parameters,
    Map<String, Value> outputs) {
  /** Copies the lists and maps; the maps keep their order. */
  public Graph {
    ops = List.copyOf(ops);
    storage = inOrder(storage);
    parameters = List.copyOf(parameters);
    outputs = inOrder(outputs);
  }

  /**
   * {@return images of a step: the first dimension of its largest input of images, 0 without one}
   */
  public int batch() {
    return storage.entrySet().stream()
        .filter(e -> e.getValue() instanceof Storage.Input && e.getKey().shape().rank() == 4)
        .mapToInt(e -> e.getKey().shape().get(0))
        .max()
        .orElse(0);
  }

  /** {@return the first number from which on no value of the graph has its id} */
  int nextId() {
    return Stream.concat(
                storage.keySet().stream(), ops.stream().flatMap(op -> op.outputs().stream()))
            .mapToInt(Value::id)
            .max()
            .orElse(0)
        + 1;
  }

  /** Unlike {@link Map#copyOf}, whose order is another one in every process. */
  private static <K, V> Map<K, V> inOrder(Map<K, V> map) {
    return Collections.unmodifiableMap(new LinkedHashMap<>(map));
  }
}
