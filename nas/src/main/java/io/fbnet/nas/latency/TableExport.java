package io.fbnet.nas.latency;

import com.fasterxml.jackson.databind.JsonNode;
import io.fbnet.nas.UserException;
import io.fbnet.nas.file.AtomicFile;
import io.fbnet.nas.file.JsonText;
import io.fbnet.nas.space.SearchSpace;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;

/** Writes latency tables in forms that others read, and {@link TableImport} reads back. */
public final class TableExport {
  private TableExport() {}

  /** Forms by name. */
  public enum Format {
    /** Plain JSON, as fits to published latencies are kept. */
    JSON,
    /** Rows of numbers. */
    TEXT,
    /** Keys and times as ProxylessNAS keeps them, in YAML. */
    PROXYLESS
  }

  /**
   * Writes a table, whole or not at all.
   *
   * @param table the table
   * @param format the form
   * @param space its space; needed by PROXYLESS alone
   * @param notes told what the form cannot say, in a sentence each
   * @param target the file, replaced where it exists; missing folders are made
   * @throws UserException (exit code 2) if PROXYLESS lacks the space, (exit code 3) if the table
   *     does not fit it or is relative, (exit code 5) if the file cannot be written
   */
  public static void write(
      LatencyTable table,
      Format format,
      Optional<SearchSpace> space,
      Consumer<String> notes,
      Path target) {
    AtomicFile.writeText(
        target,
        switch (format) {
          case JSON -> JsonText.of(FittedTable.tree(table));
          case TEXT -> TextTable.text(table);
          case PROXYLESS -> {
            SearchSpace known =
                space.orElseThrow(
                    () ->
                        UserException.usage(
                            "a ProxylessNAS table names shapes, which %s says only in part: name"
                                + " its space by --space",
                            table.source()));
            table.requireFits(known, warning -> {});
            ProxylessTable.Export export = ProxylessTable.export(table, known);
            export.notes().forEach(notes);
            yield yaml(export.tree());
          }
        });
  }

  private static String yaml(JsonNode tree) {
    StringBuilder out = new StringBuilder();
    for (Map.Entry<String, JsonNode> entry : tree.properties()) {
      out.append(entry.getKey()).append(":\n  mean: ");
      out.append(entry.getValue().get("mean")).append('\n');
    }
    return out.toString();
  }
}
