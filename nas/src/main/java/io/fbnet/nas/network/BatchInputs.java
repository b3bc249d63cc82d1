package io.fbnet.nas.network;

import io.fbnet.engine.graph.Constants;
import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import io.fbnet.engine.program.Program;
import io.fbnet.nas.data.Batch;
import io.fbnet.nas.data.Normalisation;
import io.fbnet.nas.data.PixelType;
import io.fbnet.nas.space.SearchSpace;
import java.util.List;

/**
 * The inputs of a step on batches of images: images u8 [N,C,H,W], windows i32 [N,3] as {@link
 * io.fbnet.engine.graph.Op.NormaliseImages} takes them, labels i32 [N], and where images have them
 * weights f32 [N]. Images travel to the device as bytes, and are cropped, mirrored and normalised
 * there; but images of more than eight bits are f32 [N,C,H,W], which the host has normalised, and
 * have no windows.
 */
public final class BatchInputs {
  /** The input of images, of bytes here and of f32 in a graph for timing or export. */
  public static final String IMAGES = "images";

  /** The input of the windows that are cut out of the images. */
  public static final String WINDOWS = "windows";

  /** The input of class numbers. */
  public static final String LABELS = "labels";

  /** The input of factors of each image's loss, of steps whose images have weights. */
  public static final String IMAGE_WEIGHTS = "image weights";

  /** The input of class numbers of what images are mixed with, of steps that take such. */
  public static final String PARTNER_LABELS = "partner labels";

  /** The input of factors of the loss by those labels. */
  public static final String PARTNER_WEIGHTS = "partner weights";

  private BatchInputs() {}

  /** Declares images, and windows if they are bytes: normalised images [N,C,H,W]. */
  static Value images(
      GraphBuilder b, SearchSpace.Input in, int batch, Normalisation normalisation) {
    if (normalisation.pixels() == PixelType.F32) {
      return b.input(IMAGES, Type.F32, batch, in.channels(), in.height(), in.width());
    }
    return b.normaliseImages(
        b.input(IMAGES, Type.U8, batch, in.channels(), in.height(), in.width()),
        b.input(WINDOWS, Type.I32, batch, 3),
        constants(normalisation.mean()),
        constants(normalisation.std()));
  }

  static Value labels(GraphBuilder b, int batch) {
    return b.input(LABELS, Type.I32, batch);
  }

  /**
   * What an image counts in the loss that is minimised.
   *
   * @param each [N], of each image
   * @param weighted whether images have weights, which the graph then has as an input
   */
  static Value weighted(GraphBuilder b, Value each, boolean weighted) {
    return weighted
        ? b.multiply(each, b.input(IMAGE_WEIGHTS, Type.F32, each.shape().get(0)))
        : each;
  }

  private static Constants constants(List<Float> values) {
    float[] array = new float[values.size()];
    for (int i = 0; i < array.length; i++) {
      array[i] = values.get(i);
    }
    return Constants.of(array);
  }

  /**
   * Copies a batch to a step that reads labels, and weights where the batch has them.
   *
   * @param program whose inputs are written
   * @param batch as many images as it takes; free again when this returns
   */
  public static void write(Program program, Batch batch) {
    writeImages(program, batch);
    program.write(LABELS, batch.labels());
    batch.weights().ifPresent(weights -> program.write(IMAGE_WEIGHTS, weights));
  }

  /**
   * Copies a batch to a step that reads no labels.
   *
   * @param program whose inputs are written
   * @param batch as many images as it takes; free again when this returns
   */
  public static void writeImages(Program program, Batch batch) {
    program.write(IMAGES, batch.images());
    if (batch.hasWindows()) {
      program.write(WINDOWS, batch.windows());
    }
  }

  /**
   * Has the device copy a batch when it comes to it, as {@link Program#lend} does.
   *
   * @param program whose inputs are written
   * @param batch as many images as it takes; not to be released before results of the run that
   *     follows have arrived
   */
  public static void lend(Program program, Batch batch) {
    program.lend(IMAGES, batch.images());
    if (batch.hasWindows()) {
      program.lend(WINDOWS, batch.windows());
    }
    program.lend(LABELS, batch.labels());
    batch.weights().ifPresent(weights -> program.lend(IMAGE_WEIGHTS, weights));
    batch.partnerLabels().ifPresent(labels -> program.lend(PARTNER_LABELS, labels));
    batch.partnerWeights().ifPresent(weights -> program.lend(PARTNER_WEIGHTS, weights));
  }
}
