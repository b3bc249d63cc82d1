package io.fbnet.bench.gpu;

import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.graph.Value;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * One operation to time.
 *
 * @param name of the operation
 * @param shape of its images, in words
 * @param graph of it alone
 * @param imageElements elements of images that it must move, each read and each write
 * @param otherBytes bytes of f32 that it must move beside them
 * @param operations floating-point operations, two a multiply-add; 0 where bytes alone count
 */
record KernelCase(
    String name,
    String shape,
    Graph graph,
    long imageElements,
    long otherBytes,
    double operations) {

  long bytes(int elementBytes) {
    return imageElements * elementBytes + otherBytes;
  }

  /**
   * The operations of one kind alone. What they read of operations left out becomes an input, so a
   * gradient needs no forward pass.
   */
  static Graph only(GraphBuilder builder, Class<? extends Op> kind) {
    return only(builder, Set.of(kind));
  }

  /** The same of several kinds, one of which a device may run as part of another. */
  static Graph only(GraphBuilder builder, Set<Class<? extends Op>> kinds) {
    Graph whole = builder.build();
    List<Op> ops = whole.ops().stream().filter(op -> kinds.contains(op.getClass())).toList();
    Map<Value, Storage> storage = new LinkedHashMap<>();
    Set<Value> used = new HashSet<>();
    for (Op op : ops) {
      used.addAll(op.inputs());
      used.addAll(op.outputs());
    }
    whole
        .storage()
        .forEach(
            (value, where) -> {
              if (used.contains(value) || !(where instanceof Storage.Input)) {
                storage.put(value, where);
              }
            });
    Set<Value> written = new HashSet<>();
    for (Op op : ops) {
      for (Value v : op.inputs()) {
        if (!written.contains(v)) {
          storage.putIfAbsent(v, new Storage.Input(v.name() + " " + v.id()));
        }
      }
      written.addAll(op.outputs());
    }
    return new Graph(ops, storage, whole.parameters(), Map.of());
  }
}
