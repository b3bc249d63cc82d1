package io.fbnet.nas.cli;

import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/**
 * Gives the program the virtual machine it needs, however it was started. The vector module is an
 * incubator, which only a flag can add; where it is missing, the process replaces itself by the
 * same Java with the flag. As exec keeps the process id, signals and a shell's job control keep
 * working.
 */
final class Relaunch {
  private static final String MODULE = "jdk.incubator.vector";

  /** Verbs that compute for longer than the virtual machine takes to start. */
  static final Set<String> LONG_VERBS =
      Set.of(
          "search",
          "sample",
          "train",
          "evaluate",
          "export",
          "compare-strategies",
          "latency",
          "data");

  /** The loops are compiled after a twentieth of the calls that it usually takes. */
  private static final String EARLY_LOOPS =
      "-XX:CompileCommand=CompileThresholdScaling,io.fbnet.engine.cpu.VectorLoops*::*,0.05";

  /**
   * Every five seconds glibc gives back what the second compiler took for a moment (12 to 20 MiB),
   * and would keep else.
   */
  private static final String TRIM = "-XX:TrimNativeHeapInterval=5000";

  /** Holds the id of a process that has replaced itself, so that it does so only once. */
  private static final String GUARD = "FBNET_RELAUNCHED";

  /** Holds the descriptor under which the real standard error waits while Java starts. */
  private static final String STANDARD_ERROR = "FBNET_STDERR";

  private static final int ERR = 2;

  private Relaunch() {}

  /** Returns in a process that has the module, or, with one warning, in one that cannot get it. */
  static void ifNeeded(Class<?> main, String[] arguments) {
    restoreStandardError();
    try {
      // An OpenMP library that spins takes the processor from whatever else runs on the machine.
      if (System.getenv("GOMP_SPINCOUNT") == null) {
        Libc.setIfAbsent("OMP_WAIT_POLICY", "passive");
      }
      if (ModuleLayer.boot().findModule(MODULE).isPresent()) {
        return;
      }
      String self = Long.toString(ProcessHandle.current().pid());
      if (self.equals(System.getenv(GUARD))) {
        warn("Java has no module " + MODULE);
        return;
      }
      Libc.setEnvironment(GUARD, self, true);
      if (Names.areAscii()) {
        Libc.setEnvironment("LC_ALL", "C.UTF-8", true);
      }
      execute(command(main, arguments));
      warn("Java could not be started again with " + MODULE);
    } catch (RuntimeException e) {
      warn(e.getMessage());
    }
  }

  private static void warn(String why) {
    System.err.println(
        Main.PREFIX
            + "warning: "
            + why
            + ": some computations will be slower, or start Java with --add-modules="
            + MODULE);
  }

  private static List<String> command(Class<?> main, String[] arguments) {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    List<String> given = javaFlags(arguments.length);
    command.addAll(machineFlags(arguments, given));
    command.addAll(given);
    command.add("--add-modules=" + MODULE);
    command.add("--enable-native-access=ALL-UNNAMED");
    command.add("-cp");
    command.add(System.getProperty("java.class.path"));
    command.add(main.getName());
    command.addAll(Names.given(List.of(arguments)));
    return command;
  }

  /**
   * The flags that this Java was given. The system's list of a process's arguments is there at
   * once; Java's own takes a tenth of a second to ask.
   */
  private static List<String> javaFlags(int ownArguments) {
    List<String> all = List.of(ProcessHandle.current().info().arguments().orElse(new String[0]));
    int jar = all.size() - ownArguments - 2;
    return jar >= 0 && all.get(jar).equals("-jar")
        ? all.subList(0, jar)
        : ManagementFactory.getRuntimeMXBean().getInputArguments();
  }

  /**
   * Where little is computed, the first compiler is enough and the second only takes the processor
   * away. Elsewhere it is to begin with the vector loops: by itself it begins with what they call,
   * the vector module's own methods, which the compiled loops no longer need. On one or two
   * processors one thread collects garbage, from a heap that starts small: what memory there is is
   * for activations. The script {@code fbnet} does the same.
   */
  private static List<String> machineFlags(String[] arguments, List<String> given) {
    List<String> flags = new ArrayList<>();
    if (arguments.length == 0 || !LONG_VERBS.contains(arguments[0])) {
      flags.add("-XX:TieredStopAtLevel=1");
    } else {
      flags.add("-XX:CompileCommand=quiet");
      flags.add(EARLY_LOOPS);
      flags.add(TRIM);
    }
    if (Runtime.getRuntime().availableProcessors() <= 2 && choosesNoCollector(given)) {
      flags.add("-XX:+UseSerialGC");
      flags.add("-Xms16m");
    }
    return flags;
  }

  private static boolean choosesNoCollector(List<String> given) {
    return given.stream().noneMatch(flag -> flag.startsWith("-XX:+Use") && flag.endsWith("GC"))
        && System.getenv("JAVA_TOOL_OPTIONS") == null
        && System.getenv("JDK_JAVA_OPTIONS") == null
        && System.getenv("_JAVA_OPTIONS") == null;
  }

  private static void execute(List<String> command) {
    if (!Files.isExecutable(Path.of(command.get(0)))) {
      return;
    }
    // Java warns of every incubator module before it runs a line of ours, and no flag stops it.
    int saved = Main.isDebug() ? -1 : Libc.duplicate(ERR);
    int nowhere = saved < 0 ? -1 : Libc.openForWriting("/dev/null");
    if (nowhere >= 0) {
      Libc.setEnvironment(STANDARD_ERROR, Integer.toString(saved), true);
      Libc.move(nowhere, ERR);
    }
    Libc.execute(command);
    if (nowhere >= 0) {
      Libc.move(saved, ERR);
    }
  }

  private static void restoreStandardError() {
    String saved = System.getenv(STANDARD_ERROR);
    String self = Long.toString(ProcessHandle.current().pid());
    if (saved != null && self.equals(System.getenv(GUARD))) {
      try {
        Libc.move(Integer.parseInt(saved), ERR);
      } catch (RuntimeException e) {
        // Then there is no standard error to complain to.
      }
    }
  }
}
