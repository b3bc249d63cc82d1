package io.fbnet.nas.cli;

import io.fbnet.nas.UserException;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.file.AtomicFile;
import io.fbnet.nas.file.IoReason;
import io.fbnet.nas.file.Sha256;
import io.fbnet.nas.model.TrainedNetwork;
import io.fbnet.nas.network.FineTuning;
import io.fbnet.nas.run.RunFiles;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.SearchSpace;
import io.fbnet.nas.train.Pretrained;
import java.io.IOException;
import java.io.InputStream;
import java.nio.channels.Channels;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Optional;
import picocli.CommandLine.Option;

/** A training that goes on from a trained network, on other images or classes. */
final class FineTuneFlags {
  private static final String STEM = "stem";

  @Option(
      names = "--from",
      paramLabel = "MODEL.safetensors|RUN",
      description =
          "Begins with the weights, the running statistics and the normalisation of a trained"
              + " network, whose architecture need not be named. Its classifier is kept where the"
              + " data has the same classes by name, in any order, and made anew where it has"
              + " others.")
  private Path from;

  @Option(
      names = "--freeze",
      paramLabel = "stem|STAGES",
      description =
          "With --from: the stem, or the stem and so many first stages, stay as they are, running"
              + " statistics included. A step computes no gradients of them.")
  private String freeze;

  @Option(
      names = "--backbone-rate",
      paramLabel = "FACTOR",
      description =
          "With --from: what --rate is multiplied by for all but the classifier, such as 0.1."
              + " Default: 1.")
  private Double backboneRate;

  /**
   * A model that a training begins from.
   *
   * @param named what the user called it
   * @param file where it was read
   * @param sha256 of the file
   * @param model what it holds
   * @param tuning what of it learns
   */
  record Origin(Path named, Path file, String sha256, TrainedNetwork model, FineTuning tuning) {
    /** What the training begins with on images of these classes. */
    Pretrained on(Dataset data) {
      return Pretrained.of(model, sha256, data.classes(), data.normalisation().pixels(), tuning);
    }

    /** Says what is done with the model. */
    void tell(Pretrained begun, Dataset data, Console console) {
      String classifier =
          begun.keepsClassifier()
              ? "are the data's: its classifier is kept"
              : "are not the data's "
                  + data.classes().size()
                  + ": its classifier is made anew, all else is kept";
      console.note(
          String.format(
              Locale.ROOT,
              "begins with %s, whose %d classes %s",
              file,
              model.classes().size(),
              classifier));
    }

    /** Keeps a copy, so that the run's folder is whole. */
    void keep(Path copy) {
      try {
        AtomicFile.write(
            copy,
            channel -> {
              try (InputStream in = Files.newInputStream(file)) {
                in.transferTo(Channels.newOutputStream(channel));
              }
            });
      } catch (IOException e) {
        throw AtomicFile.unwritable(copy, e);
      }
    }
  }

  /**
   * Reads the model that is named, of a resumed run the copy in its folder.
   *
   * @param resumed the folder of a run that goes on; null of a new one
   */
  Optional<Origin> origin(Path resumed) {
    if (from == null) {
      if (freeze != null || backboneRate != null) {
        throw UserException.usage(
            "%s needs --from", freeze != null ? "--freeze" : "--backbone-rate");
      }
      return Optional.empty();
    }
    double rate = backboneRate == null ? 1 : backboneRate;
    Ranges.positive("--backbone-rate", rate);
    from = from.toAbsolutePath().normalize();
    Path file = resumed == null ? EvaluateCommand.file(from) : new RunFiles(resumed).from();
    TrainedNetwork model = TrainedNetwork.read(file);
    FineTuning tuning = new FineTuning(frozen(model.architecture().space()), rate);
    try {
      return Optional.of(new Origin(from, file, Sha256.of(file), model, tuning));
    } catch (IOException e) {
      throw UserException.storage(
          e, "%s cannot be read (%s): check the disk", file, IoReason.of(e));
    }
  }

  private int frozen(SearchSpace space) {
    if (freeze == null) {
      return 0;
    }
    if (freeze.equals(STEM)) {
      return 1;
    }
    int stages = space.stages().size();
    if (!freeze.matches("[1-9]\\d{0,8}") || Integer.parseInt(freeze) > stages) {
      throw UserException.usage(
          "--freeze takes stem, or from 1 to %d stages that the network has, not '%s'; head and"
              + " classifier always learn",
          stages, freeze);
    }
    return 1 + Integer.parseInt(freeze);
  }

  /**
   * Refuses an architecture that is not a model's, but for the size of images, which no weight
   * knows, and the classes.
   */
  static void requireSame(Architecture wanted, Origin origin) {
    Architecture has = origin.model().architecture();
    SearchSpace space = wanted.space();
    boolean same = space.input().channels() == has.space().input().channels();
    if (!same
        || !new Architecture(
                has.name(),
                space.withInput(has.space().input()).withClasses(has.space().classes()),
                wanted.blocks())
            .json()
            .equals(has.json())) {
      throw UserException.usage(
          "the network that is asked for is not the one in %s, whose weights it was to take (space"
              + " %s, %s): leave out the architecture and the flags that change it",
          origin.file(), has.space().name(), has.blockLine());
    }
  }
}
