package io.fbnet.nas.cli;

import picocli.CommandLine.Option;

/** Whether a run goes on with images that are not those it was begun with. */
final class ChangedData {
  static final String NAME = "--accept-changed-data";

  @Option(
      names = NAME,
      description =
          "Goes on although images, labels or class names are not those of the run's checkpoint.")
  boolean accepted;
}
