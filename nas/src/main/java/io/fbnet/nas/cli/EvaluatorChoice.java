package io.fbnet.nas.cli;

import io.fbnet.nas.UserException;
import java.util.List;

/**
 * What judges the networks that a controller proposes.
 *
 * @param kind of it
 * @param epochs of a training, else 0
 * @param file of known accuracies, else empty
 */
record EvaluatorChoice(Kind kind, int epochs, String file) {
  private static final String SUPERNET = "supernet";
  private static final String TRAIN = "train:";
  private static final String TABLE = "table:";

  /** The kinds there are. */
  enum Kind {
    SUPERNET,
    TRAIN,
    TABLE
  }

  /** The one that {@code --evaluator} names. */
  static EvaluatorChoice parse(String text) {
    if (text == null || text.equals(SUPERNET)) {
      return new EvaluatorChoice(Kind.SUPERNET, 0, "");
    }
    if (text.startsWith(TABLE) && text.length() > TABLE.length()) {
      return new EvaluatorChoice(Kind.TABLE, 0, text.substring(TABLE.length()));
    }
    if (text.startsWith(TRAIN)) {
      String epochs = text.substring(TRAIN.length());
      if (epochs.matches("[0-9]{1,7}") && Integer.parseInt(epochs) > 0) {
        return new EvaluatorChoice(Kind.TRAIN, Integer.parseInt(epochs), "");
      }
    }
    throw UserException.usage(
        "--evaluator must be supernet, train:E with E epochs, or table:FILE with a file of known"
            + " accuracies, but is '%s'",
        text);
  }

  /** The flag's text. */
  String text() {
    return switch (kind) {
      case SUPERNET -> SUPERNET;
      case TRAIN -> TRAIN + epochs;
      case TABLE -> TABLE + file;
    };
  }

  /** The same with a path that holds in any folder. */
  String anchored() {
    return kind == Kind.TABLE ? TABLE + RunConfig.anchored(file, List.of()) : text();
  }
}
