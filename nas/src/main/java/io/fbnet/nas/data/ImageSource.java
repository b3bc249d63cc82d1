package io.fbnet.nas.data;

import java.util.Optional;

/** A data set in one of the forms that can be read. */
sealed interface ImageSource
    permits CifarSource, FashionMnistSource, FolderSource, IdxSource, ShapesSource, ShardSource {
  /** What the run's record calls it. */
  String name();

  /** The size of its images where all are of one; empty where they are resized or drawn to fit. */
  Optional<ImageShape> naturalShape();

  /**
   * Reads both splits.
   *
   * @param bad is told of every image that cannot be used
   */
  Dataset load(DataOptions options, BadSamples bad);

  /** Reads everything and tells what is wrong, as far as it can be read. */
  void check(DataCheck check);
}
