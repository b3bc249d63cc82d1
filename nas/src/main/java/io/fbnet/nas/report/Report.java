package io.fbnet.nas.report;

import io.fbnet.nas.file.AtomicFile;
import java.nio.file.Path;

/** Writes a run's page. */
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
    AtomicFile.writeText(target, new Page(RunRecord.read(run)).html());
  }
}
