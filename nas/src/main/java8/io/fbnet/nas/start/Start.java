package io.fbnet.nas.start;

import java.io.File;

/**
 * Where {@code java -jar} begins. Compiled for Java 8, so that an older Java than the program needs
 * says so in a sentence, and not by an error of linkage.
 */
public final class Start {
  private static final int NEEDED = 25;
  private static final int EXIT_CODE = 4;

  private Start() {}

  /** Runs the program, or ends the process with exit code 4 where this Java is too old. */
  public static void main(String[] arguments) throws Exception {
    String complaint =
        complaint(
            System.getProperty("java.specification.version", ""),
            System.getProperty("java.version"),
            System.getProperty("java.home"));
    if (!complaint.isEmpty()) {
      System.err.println(complaint);
      System.exit(EXIT_CODE);
    }
    Class.forName("io.fbnet.nas.cli.Main")
        .getMethod("main", String[].class)
        .invoke(null, (Object) arguments);
  }

  /** The sentence about a Java that is too old; empty about one that serves. */
  static String complaint(String specification, String version, String home) {
    return number(specification) >= NEEDED
        ? ""
        : "fbnet: Java "
            + NEEDED
            + " is needed, but this is Java "
            + version
            + " in "
            + home
            + ": "
            + remedy(new File("/usr/lib/jvm"));
  }

  /** Of 1.8 it is 8, of 17 17. */
  private static int number(String version) {
    try {
      return Integer.parseInt(version.startsWith("1.") ? version.substring(2) : version);
    } catch (NumberFormatException e) {
      return 0;
    }
  }

  private static String remedy(File folder) {
    String home = System.getenv("JAVA_HOME");
    File java = new File(home == null ? "" : home, "bin/java");
    if (home != null && home.contains(Integer.toString(NEEDED)) && java.canExecute()) {
      return "start it with " + java;
    }
    File[] homes = folder.listFiles();
    for (File one : homes == null ? new File[0] : homes) {
      java = new File(one, "bin/java");
      if (one.getName().contains(Integer.toString(NEEDED)) && java.canExecute()) {
        return "start it with " + java;
      }
    }
    return "install JDK " + NEEDED + " and start the program with its java";
  }
}
