package io.fbnet.nas.train;

import io.fbnet.nas.data.Normalisation;
import io.fbnet.nas.data.PixelType;
import io.fbnet.nas.model.TrainedNetwork;
import io.fbnet.nas.network.FineTuning;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What a training begins with that goes on from a trained network.
 *
 * @param tensors numbers in row-major order by name; without those of the classifier where it is to
 *     be drawn
 * @param normalisation of the images that the tensors were trained on, which they expect
 * @param sha256 of the model file, in lower-case hexadecimal
 * @param tuning what of it learns
 */
public record Pretrained(
    Map<String, float[]> tensors, Normalisation normalisation, String sha256, FineTuning tuning) {
  private static final String CLASSIFIER = "classifier.";

  /**
   * {@return a model's tensors for images of some classes} Where these are the model's own by name,
   * in whatever order, the classifier's rows are put into theirs; where they are others, there is
   * no classifier.
   *
   * @param model the model
   * @param sha256 of its file
   * @param classes names; the label is the position
   * @param pixels of the images
   * @param tuning what of it learns
   */
  public static Pretrained of(
      TrainedNetwork model,
      String sha256,
      List<String> classes,
      PixelType pixels,
      FineTuning tuning) {
    boolean same =
        classes.size() == model.classes().size()
            && new HashSet<>(classes).size() == classes.size()
            && new HashSet<>(classes).equals(new HashSet<>(model.classes()));
    Map<String, float[]> tensors = new LinkedHashMap<>();
    model
        .tensors()
        .forEach(
            (name, values) -> {
              if (!name.startsWith(CLASSIFIER)) {
                tensors.put(name, values);
              } else if (same) {
                tensors.put(name, rows(values, model.classes(), classes));
              }
            });
    return new Pretrained(tensors, model.normalisation().with(pixels), sha256, tuning);
  }

  /** Weights or biases of classes in another order. */
  private static float[] rows(float[] values, List<String> from, List<String> to) {
    int row = values.length / from.size();
    float[] moved = new float[values.length];
    for (int c = 0; c < to.size(); c++) {
      System.arraycopy(values, from.indexOf(to.get(c)) * row, moved, c * row, row);
    }
    return moved;
  }

  /** {@return whether the classifier is the model's own} */
  public boolean keepsClassifier() {
    return tensors.keySet().stream().anyMatch(name -> name.startsWith(CLASSIFIER));
  }
}
