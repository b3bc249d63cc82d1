package io.fbnet.nas.data;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;

/**
 * What is done to every pixel before a network sees it: {@code (pixel - mean[c]) / std[c]} for
 * channel c. Bytes are first brought to the scale 0 to 1.
 *
 * @param mean one number a channel
 * @param std one number a channel, above 0
 * @param pixels how they are kept that it is for
 */
public record Normalisation(List<Float> mean, List<Float> std, PixelType pixels) {
  private static final ValueLayout.OfFloat FLOAT =
      ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  /**
   * Checks and copies the numbers.
   *
   * @throws IllegalArgumentException with a sentence to show, if they are no mean and deviation
   */
  public Normalisation {
    mean = List.copyOf(mean);
    std = List.copyOf(std);
    if (mean.size() != std.size() || mean.isEmpty()) {
      throw new IllegalArgumentException(
          String.format(
              Locale.ROOT,
              "mean and std need one number a channel, but have %d and %d",
              mean.size(),
              std.size()));
    }
    for (float m : mean) {
      if (!Float.isFinite(m)) {
        throw new IllegalArgumentException("a mean must be a finite number, not " + m);
      }
    }
    for (float s : std) {
      if (!Float.isFinite(s) || s <= 0) {
        throw new IllegalArgumentException("a std must be a finite number above 0, not " + s);
      }
    }
  }

  /**
   * One for bytes.
   *
   * @param mean one number a channel
   * @param std one number a channel, above 0
   * @throws IllegalArgumentException with a sentence to show, if they are no mean and deviation
   */
  public Normalisation(List<Float> mean, List<Float> std) {
    this(mean, std, PixelType.U8);
  }

  /**
   * {@return the same for pixels that are kept otherwise}
   *
   * @param kept how
   */
  public Normalisation with(PixelType kept) {
    return new Normalisation(mean, std, kept);
  }

  /**
   * {@return a normalisation by copies of these numbers}
   *
   * @param mean one number a channel
   * @param std one number a channel, above 0
   * @throws IllegalArgumentException with a sentence to show, if they are no mean and deviation
   */
  public static Normalisation of(float[] mean, float[] std) {
    return new Normalisation(list(mean), list(std));
  }

  /**
   * {@return mean 0 and std 1: images are taken as they are, from 0 to 1}
   *
   * @param channels how many, at least 1
   */
  public static Normalisation none(int channels) {
    float[] ones = new float[channels];
    Arrays.fill(ones, 1);
    return of(new float[channels], ones);
  }

  /**
   * Normalises an image.
   *
   * @param image pixels as it is for, {@code [channels, height, width]}
   * @param to where the numbers go, in the same order
   * @param from of these the first
   */
  public void apply(MemorySegment image, float[] to, int from) {
    int elements = (int) image.byteSize() / pixels.bytes();
    int plane = elements / channels();
    for (int i = 0; i < elements; i++) {
      float pixel =
          pixels == PixelType.U8
              ? (image.get(ValueLayout.JAVA_BYTE, i) & 255) / 255f
              : image.get(FLOAT, (long) i * Float.BYTES);
      to[from + i] = (pixel - mean.get(i / plane)) / std.get(i / plane);
    }
  }

  /** {@return how many channels it is for} */
  public int channels() {
    return mean.size();
  }

  /**
   * {@return mean or std as a JSON list} The numbers are written as doubles, so that a reader that
   * rounds to double first gets the same floats back.
   *
   * @param values one number a channel
   */
  public static String json(List<Float> values) {
    ArrayNode list = JsonNodeFactory.instance.arrayNode();
    values.forEach(value -> list.add((double) value));
    return list.toString();
  }

  private static List<Float> list(float[] values) {
    List<Float> list = new ArrayList<>();
    for (float value : values) {
      list.add(value);
    }
    return list;
  }
}
