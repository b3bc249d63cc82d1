package io.fbnet.nas.train;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.engine.graph.ParameterLayout;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.program.ParameterStore;
import io.fbnet.nas.file.AtomicFile;
import java.nio.file.Path;
import java.util.Map;

/**
 * What is known of a step whose loss or gradient was no number, written beside the run's
 * checkpoints. Gradients and statistics are those of the last step that ran, which on a GPU may be
 * the one after; weights were touched by neither the broken step nor any other that was not finite.
 */
public final class Divergence {
  private static final String FOLDER = "diverged";

  private Divergence() {}

  /**
   * Writes the report.
   *
   * @param run the run's folder
   * @param step what is known of the step, written as texts
   * @param store values and gradients of every set, as far as they exist
   * @return the report's file, {@code diverged/report.json} in the run's folder
   * @throws io.fbnet.nas.UserException (exit code 5) if it cannot be written
   */
  public static Path write(Path run, Map<String, Object> step, ParameterStore store) {
    ObjectNode report = JsonNodeFactory.instance.objectNode();
    ObjectNode what = report.putObject("step");
    step.forEach((key, value) -> what.put(key, String.valueOf(value)));
    report.put(
        "note",
        "gradients and statistics are those of the last step that ran, which may be the one after");
    ArrayNode tensors = report.putArray("tensors");
    for (String set : store.sets()) {
      for (String buffer : new String[] {Storage.Flat.VALUES, Storage.Flat.GRADIENTS}) {
        if (store.has(set, buffer)) {
          float[] all = store.readAll(set, buffer);
          for (ParameterLayout.Entry entry : store.layout(set).entries()) {
            int from = Math.toIntExact(entry.offset());
            int to = Math.toIntExact(entry.offset() + entry.spec().shape().elements());
            tensors.add(summary(set, buffer, entry.spec().name(), all, from, to));
          }
        }
      }
    }
    Path file = report(run);
    AtomicFile.writeText(file, report.toPrettyString() + "\n");
    return file;
  }

  /**
   * {@return where a run's report lies}
   *
   * @param run its folder
   */
  public static Path report(Path run) {
    return run.resolve(FOLDER).resolve("report.json");
  }

  private static ObjectNode summary(
      String set, String buffer, String name, float[] values, int from, int to) {
    int broken = 0;
    double least = Double.POSITIVE_INFINITY;
    double most = Double.NEGATIVE_INFINITY;
    for (int i = from; i < to; i++) {
      float v = values[i];
      if (Float.isFinite(v)) {
        least = Math.min(least, v);
        most = Math.max(most, v);
      } else {
        broken++;
      }
    }
    ObjectNode node = JsonNodeFactory.instance.objectNode();
    node.put("set", set);
    node.put("name", name);
    node.put("of", buffer);
    node.put("elements", to - from);
    node.put("not_finite", broken);
    if (broken < to - from) {
      node.put("least", least);
      node.put("most", most);
    }
    return node;
  }
}
