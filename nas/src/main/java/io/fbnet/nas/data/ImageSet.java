package io.fbnet.nas.data;

import java.lang.foreign.MemorySegment;
import java.util.List;

/** One split: the pixels and labels of equally large images. Immutable and safe to share. */
public final class ImageSet {
  private final String name;
  private final ImageShape shape;
  private final MemorySegment pixels;
  private final int[] labels;
  private final List<String> classes;

  private ImageSet(
      String name, ImageShape shape, MemorySegment pixels, int[] labels, List<String> classes) {
    this.name = name;
    this.shape = shape;
    this.pixels = pixels;
    this.labels = labels;
    this.classes = classes;
  }

  /**
   * A set over pixels that already lie in memory; they are not copied.
   *
   * @param name what messages call it, such as {@code train}
   * @param shape the size of every image
   * @param pixels unsigned bytes, {@code labels.length} images of C x H x W
   * @param labels one class number an image, 0 to {@code classes.size() - 1}; copied
   * @param classes names; the label is the position
   * @return the set
   * @throws IllegalArgumentException where sizes or labels do not fit each other
   */
  public static ImageSet of(
      String name, ImageShape shape, MemorySegment pixels, int[] labels, List<String> classes) {
    long expected = (long) labels.length * shape.elements();
    if (pixels.byteSize() != expected) {
      throw new IllegalArgumentException(
          name + " needs " + expected + " bytes of pixels, not " + pixels.byteSize());
    }
    for (int i = 0; i < labels.length; i++) {
      if (labels[i] < 0 || labels[i] >= classes.size()) {
        throw new IllegalArgumentException(
            "label " + labels[i] + " of image " + i + " of " + name + " names no class");
      }
    }
    return new ImageSet(name, shape, pixels.asReadOnly(), labels.clone(), List.copyOf(classes));
  }

  /** {@return what messages call this split: {@code train} or {@code test}} */
  public String name() {
    return name;
  }

  /** {@return how many images} */
  public int size() {
    return labels.length;
  }

  /** {@return the size of every image} */
  public ImageShape shape() {
    return shape;
  }

  /** {@return channels of every image, 1 or 3} */
  public int channels() {
    return shape.channels();
  }

  /** {@return rows of every image} */
  public int height() {
    return shape.height();
  }

  /** {@return columns of every image} */
  public int width() {
    return shape.width();
  }

  /**
   * {@return the class number of an image}
   *
   * @param i the image's number, from 0
   */
  public int label(int i) {
    return labels[i];
  }

  /** {@return a copy of all labels} */
  public int[] labels() {
    return labels.clone();
  }

  /** {@return class names; the label is the position} */
  public List<String> classes() {
    return classes;
  }

  /** {@return read-only unsigned bytes, {@code [size, channels, height, width]}} */
  public MemorySegment pixels() {
    return pixels;
  }

  /**
   * {@return read-only unsigned bytes of an image, {@code [channels, height, width]}}
   *
   * @param i the image's number, from 0
   */
  public MemorySegment image(int i) {
    int bytes = shape.elements();
    return pixels.asSlice((long) i * bytes, bytes);
  }
}
