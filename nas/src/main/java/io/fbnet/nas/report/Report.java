package io.fbnet.nas.report;

import io.fbnet.nas.UserException;
import io.fbnet.nas.file.AtomicFile;
import io.fbnet.nas.file.Document;
import io.fbnet.nas.run.RunFiles;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Writes a run's page, or one of several. */
public final class Report {
  private Report() {}

  /**
   * Reads a run, finished or not, and writes its page: one file that needs no other and no network.
   * The run's folder is not locked, so a run that goes on can be looked at.
   *
   * @param run the run's folder
   * @param target the HTML file, written whole or not at all
   * @throws io.fbnet.nas.UserException exit code 2 if the folder holds no run, 3 if a file of it is
   *     wrong, 5 if the page cannot be written
   */
  public static void write(Path run, Path target) {
    if (isComparison(run)) {
      throw UserException.usage(
          "%s holds a comparison, whose page is its report.html: fbnet compare-strategies --resume"
              + " %s writes it anew",
          run, run);
    }
    AtomicFile.writeText(target, new Page(RunRecord.read(run)).html());
  }

  private static boolean isComparison(Path run) {
    return Document.yaml(RunFiles.existing(run).config()).mapping().containsKey("strategies");
  }

  /**
   * Reads several finished searches and writes one page that compares them: by networks trained
   * from scratch where each has some, else by shared weights.
   *
   * @param runs the folders
   * @param target the HTML file, written whole or not at all
   * @throws UserException exit code 2 if a folder holds no run or one that is not finished, 3 if a
   *     file of it is wrong, 5 if the page cannot be written
   */
  public static void compare(List<Path> runs, Path target) {
    List<RunFiles> files = runs.stream().map(RunFiles::existing).toList();
    boolean children = files.stream().allMatch(file -> Files.exists(file.children()));
    Measure measure = children ? Measure.CHILDREN : Measure.SHARED_WEIGHTS;
    List<ComparedRun> read = new ArrayList<>();
    Map<String, String> equal = new LinkedHashMap<>();
    for (RunFiles file : files) {
      ComparedRun run =
          ComparedRun.read(file.root(), measure)
              .orElseThrow(
                  () ->
                      UserException.usage(
                          "%s has no samples.json: a search is compared when it is finished, and"
                              + " one that a table judged by fbnet compare-strategies",
                          file.root()));
      read.add(run);
      Map<String, String> config = new LinkedHashMap<>();
      Document.yaml(file.config())
          .mapping()
          .forEach((key, value) -> config.put(key, value.scalar().orElse("")));
      if (read.size() == 1) {
        equal.putAll(config);
      }
      equal.entrySet().removeIf(e -> !e.getValue().equals(config.get(e.getKey())));
    }
    long different = read.stream().map(run -> run.strategy() + " " + run.seed()).distinct().count();
    if (different < read.size()) {
      // Runs of one strategy and seed differ in something else: their folders name them.
      for (int i = 0; i < read.size(); i++) {
        read.set(i, read.get(i).named(runs.get(i).toString()));
      }
    }
    Comparison comparison = new Comparison(measure, read.getFirst().strategy(), read, 0, equal);
    comparison.writePage(target);
  }
}
