package io.fbnet.nas.kit;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import io.fbnet.nas.data.ImageSet;
import io.fbnet.nas.data.Normalisation;
import io.fbnet.nas.network.BatchInputs;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.Map;
import java.util.function.IntConsumer;

/** What an exported network says of images in ONNX Runtime on the CPU. */
public final class OrtLogits {
  private static final int BATCH = 64;

  private OrtLogits() {}

  /**
   * Runs a file over images.
   *
   * @param file of {@link io.fbnet.nas.onnx.OnnxExport}
   * @param set the images
   * @param numbers which of them
   * @param normalisation what becomes of pixels from 0 to 1 before the file takes them
   * @param threads inside one operation
   * @param progress told how many images are done
   * @return the logits of each image
   */
  public static float[][] of(
      Path file,
      ImageSet set,
      int[] numbers,
      Normalisation normalisation,
      int threads,
      IntConsumer progress) {
    float[][] all = new float[numbers.length][];
    int elements = set.shape().elements();
    Normalisation fed = normalisation.with(set.shape().pixels());
    OrtSession session = OrtFile.open(file, threads);
    try {
      for (int from = 0; from < numbers.length; from += BATCH) {
        int count = Math.min(BATCH, numbers.length - from);
        float[] pixels = new float[count * elements];
        for (int i = 0; i < count; i++) {
          fed.apply(set.image(numbers[from + i]), pixels, i * elements);
        }
        long[] shape = {count, set.channels(), set.height(), set.width()};
        System.arraycopy(logits(session, pixels, shape), 0, all, from, count);
        progress.accept(from + count);
      }
      return all;
    } catch (OrtException e) {
      throw OrtFile.refused(file, e);
    } finally {
      OrtFile.closeQuietly(session);
    }
  }

  /**
   * {@return the share of all images of a set whose label has the largest logit, from 0 to 1; one
   * that shares it counts as wrong}
   *
   * @param logits of every image
   * @param set whose labels are positions among the logits
   */
  public static double accuracy(float[][] logits, ImageSet set) {
    int right = 0;
    for (int i = 0; i < logits.length; i++) {
      right += largest(logits[i], set.label(i)) ? 1 : 0;
    }
    return (double) right / logits.length;
  }

  /**
   * {@return the mean over images of the Kullback-Leibler divergence of the probabilities from
   * those that are exact; infinite where a logit is no number}
   *
   * @param exact logits of each image
   * @param rounded the same by another network
   */
  public static double divergence(float[][] exact, float[][] rounded) {
    double sum = 0;
    for (int i = 0; i < exact.length; i++) {
      double[] p = logProbabilities(exact[i]);
      double[] q = logProbabilities(rounded[i]);
      for (int c = 0; c < p.length; c++) {
        sum += Math.exp(p[c]) * (p[c] - q[c]);
      }
    }
    return Double.isNaN(sum) ? Double.POSITIVE_INFINITY : sum / exact.length;
  }

  private static double[] logProbabilities(float[] logits) {
    double most = Double.NEGATIVE_INFINITY;
    for (float logit : logits) {
      most = Math.max(most, logit);
    }
    double sum = 0;
    for (float logit : logits) {
      sum += Math.exp(logit - most);
    }
    double[] logs = new double[logits.length];
    for (int c = 0; c < logs.length; c++) {
      logs[c] = logits[c] - most - Math.log(sum);
    }
    return logs;
  }

  private static float[][] logits(OrtSession session, float[] pixels, long[] shape)
      throws OrtException {
    try (OnnxTensor images =
            OnnxTensor.createTensor(OrtFile.environment(), FloatBuffer.wrap(pixels), shape);
        OrtSession.Result result = session.run(Map.of(BatchInputs.IMAGES, images))) {
      return (float[][]) result.get(0).getValue();
    }
  }

  private static boolean largest(float[] logits, int label) {
    for (int c = 0; c < logits.length; c++) {
      if (c != label && !(logits[c] < logits[label])) {
        return false;
      }
    }
    return true;
  }
}
