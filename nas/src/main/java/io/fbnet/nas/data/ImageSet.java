package io.fbnet.nas.data;

import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Objects;

/**
 * One split: the pixels and labels of equally large images. Immutable and safe to share. The pixels
 * lie in memory, or are read from {@linkplain ShardSource shards} and decoded whenever they are
 * asked for.
 */
public final class ImageSet {
  private final String name;
  private final ImageShape shape;
  private final ImagePixels pixels;
  private final int[] labels;
  private final List<String> classes;

  /** The first image of each shard; empty where all are as near as any other. */
  private final int[] shards;

  private ImageSet(
      String name,
      ImageShape shape,
      ImagePixels pixels,
      int[] labels,
      List<String> classes,
      int[] shards) {
    this.name = name;
    this.shape = shape;
    this.pixels = pixels;
    this.labels = labels;
    this.classes = classes;
    this.shards = shards;
  }

  /**
   * A set over pixels that already lie in memory; they are not copied.
   *
   * @param name what messages call it, such as {@code train}
   * @param shape the size of every image
   * @param pixels as the shape says they are kept, {@code labels.length} images of C x H x W
   * @param labels one class number an image, 0 to {@code classes.size() - 1}; copied
   * @param classes names; the label is the position
   * @return the set
   * @throws IllegalArgumentException where sizes or labels do not fit each other
   */
  public static ImageSet of(
      String name, ImageShape shape, MemorySegment pixels, int[] labels, List<String> classes) {
    long expected = (long) labels.length * shape.bytes();
    if (pixels.byteSize() != expected) {
      throw new IllegalArgumentException(
          name + " needs " + expected + " bytes of pixels, not " + pixels.byteSize());
    }
    requireLabels(name, labels, classes);
    ImagePixels memory = ImagePixels.in(pixels.asReadOnly(), shape.bytes());
    return new ImageSet(name, shape, memory, labels.clone(), List.copyOf(classes), new int[0]);
  }

  /** A set of images that lie in several files, of which neighbours are best read together. */
  static ImageSet inShards(
      String name,
      ImageShape shape,
      ImagePixels pixels,
      int[] labels,
      List<String> classes,
      int[] shards) {
    requireLabels(name, labels, classes);
    return new ImageSet(name, shape, pixels, labels.clone(), List.copyOf(classes), shards.clone());
  }

  /**
   * {@return the same images with other labels}
   *
   * @param others one class number an image, 0 to {@code names.size() - 1}; copied
   * @param names of the classes; the label is the position
   * @throws IllegalArgumentException where the labels fit neither the images nor the classes
   */
  public ImageSet relabelled(int[] others, List<String> names) {
    if (others.length != labels.length) {
      throw new IllegalArgumentException(
          name + " has " + labels.length + " images, not " + others.length);
    }
    requireLabels(name, others, names);
    return new ImageSet(name, shape, pixels, others.clone(), List.copyOf(names), shards);
  }

  private static void requireLabels(String name, int[] labels, List<String> classes) {
    for (int i = 0; i < labels.length; i++) {
      if (labels[i] < 0 || labels[i] >= classes.size()) {
        throw new IllegalArgumentException(
            "label " + labels[i] + " of image " + i + " of " + name + " names no class");
      }
    }
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

  /** {@return channels of every image} */
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

  /**
   * {@return a copy of an image, pixels as the shape says they are kept, {@code [channels, height,
   * width]}}
   *
   * @param i the image's number, from 0
   * @throws io.fbnet.nas.UserException (exit code 3) where its shard can no longer be read
   */
  public MemorySegment image(int i) {
    Objects.checkIndex(i, labels.length);
    MemorySegment image =
        shape.pixels() == PixelType.F32
            ? MemorySegment.ofArray(new float[shape.elements()])
            : MemorySegment.ofArray(new byte[shape.elements()]);
    pixels.copy(new int[] {i}, image);
    return image;
  }

  /** Copies images, one behind the other. */
  void copy(int[] numbers, MemorySegment to) {
    pixels.copy(numbers, to);
  }

  /** The first image of each shard, ascending; empty where all are as near as any other. */
  int[] shards() {
    return shards;
  }
}
