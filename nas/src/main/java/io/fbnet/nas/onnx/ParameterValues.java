package io.fbnet.nas.onnx;

import io.fbnet.engine.graph.ParameterLayout;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.program.ParameterStore;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;

/** Where the numbers of a graph's parameters come from. */
@FunctionalInterface
public interface ParameterValues {
  /**
   * {@return all numbers of a tensor in row-major order; not to be changed}
   *
   * @param set the tensor's parameter set
   * @param name the tensor's name within it
   */
  float[] of(String set, String name);

  /**
   * {@return the values of a store as they are now; later changes of the store are not seen} Asking
   * for a tensor that the store lacks throws IllegalArgumentException.
   *
   * @param store what holds the parameters
   */
  static ParameterValues of(ParameterStore store) {
    Map<Storage.Parameter, float[]> values = new HashMap<>();
    for (String set : store.sets()) {
      float[] all = store.readAll(set, Storage.Flat.VALUES);
      for (ParameterLayout.Entry entry : store.layout(set).entries()) {
        int from = (int) entry.offset();
        int to = from + (int) entry.spec().shape().elements();
        values.put(
            new Storage.Parameter(set, entry.spec().name()), Arrays.copyOfRange(all, from, to));
      }
    }
    return (set, name) -> {
      float[] found = values.get(new Storage.Parameter(set, name));
      if (found == null) {
        throw new IllegalArgumentException("parameter set " + set + " has no tensor " + name);
      }
      return found;
    };
  }
}
