package io.fbnet.nas.latency;

import io.fbnet.nas.UserException;
import io.fbnet.nas.file.Document;
import io.fbnet.nas.file.Node;
import io.fbnet.nas.space.SearchSpace;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.function.Consumer;

/**
 * Makes latency tables of what others write: a fitted table in plain JSON, rows of numbers, a
 * ProxylessNAS table.
 */
public final class TableImport {
  private TableImport() {}

  /** The unit of numbers that do not say it themselves. */
  public enum Unit {
    /** Milliseconds. */
    MS(1),
    /** Microseconds. */
    US(1e-3);

    private final double ms;

    Unit(double ms) {
      this.ms = ms;
    }

    /** This many of the unit in milliseconds. */
    double toMs(double value) {
      return value * ms;
    }
  }

  /**
   * What the file may not say.
   *
   * @param space the space of the table
   * @param unit of the numbers
   * @param fixed what every architecture pays, in that unit
   * @param device its name
   * @param batch images a run
   * @param relative whether the entries are differences to skip
   * @param notes told what was not taken, in a sentence each
   */
  public record Request(
      Optional<SearchSpace> space,
      Optional<Unit> unit,
      OptionalDouble fixed,
      Optional<String> device,
      OptionalInt batch,
      boolean relative,
      Consumer<String> notes) {

    SearchSpace requireSpace(String file) {
      return space.orElseThrow(
          () -> UserException.usage("%s does not say its search space: name it by --space", file));
    }
  }

  /** Every form of file that can be told from the others. */
  public enum Form {
    /** The project's own. */
    TABLE,
    /** Plain JSON, as fits to published latencies are kept. */
    FITTED,
    /** JSON of another kind, which some other package may know. */
    OTHER_JSON,
    /** Keys such as {@code expanded_conv-input:...}. */
    PROXYLESS,
    /** Rows of numbers. */
    TEXT
  }

  /**
   * {@return the form of a file}
   *
   * @param file UTF-8 text of at most 16 MiB
   * @throws UserException (exit code 3) if it cannot be read, or begins like JSON and is none
   */
  public static Form form(Path file) {
    String text = Document.text(file);
    if (text.stripLeading().startsWith("{")) {
      Node node = Document.json(file);
      if (node.mapping().containsKey("space")) {
        return Form.TABLE;
      }
      return node.mapping().containsKey("layers") ? Form.FITTED : Form.OTHER_JSON;
    }
    return ProxylessTable.isOne(text) ? Form.PROXYLESS : Form.TEXT;
  }

  /**
   * Reads a file of any form but OTHER_JSON.
   *
   * @param file UTF-8 text of at most 16 MiB
   * @param request what the file may not say; the project's own form needs nothing of it
   * @return the table
   * @throws UserException (exit code 3) if it is wrong or lacks entries, (exit code 2) if the
   *     request lacks something
   */
  public static LatencyTable read(Path file, Request request) {
    return switch (form(file)) {
      case TABLE -> LatencyTable.load(file.toString());
      case FITTED -> FittedTable.parse(Document.json(file), file.toString(), request);
      case PROXYLESS -> ProxylessTable.parse(Document.yaml(file), file.toString(), request);
      case TEXT -> TextTable.parse(Document.text(file), file.toString(), request);
      case OTHER_JSON ->
          throw UserException.data(
              "%s is JSON, but neither a latency table nor a result of a latency kit: it has no"
                  + " field 'layers'",
              file);
    };
  }

  /** The table, or the sentence why it is none. */
  static LatencyTable build(LatencyTable.Builder builder, String file) {
    try {
      return builder.build();
    } catch (IllegalArgumentException e) {
      throw UserException.data("%s is no latency table: %s", file, e.getMessage());
    }
  }

  /** A few of many names. */
  static String some(List<String> names) {
    int shown = Math.min(5, names.size());
    return String.join(", ", names.subList(0, shown))
        + (shown < names.size() ? " and " + (names.size() - shown) + " more" : "");
  }
}
