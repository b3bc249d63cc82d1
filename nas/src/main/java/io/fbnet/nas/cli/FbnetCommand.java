package io.fbnet.nas.cli;

import java.io.IOException;
import java.io.InputStream;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.Supplier;
import java.util.jar.Manifest;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.IVersionProvider;
import picocli.CommandLine.ScopeType;

/**
 * The top of the command line. What is said here about help and exit codes holds for every verb.
 */
@Command(
    name = "fbnet",
    description = "Searches networks that are fast on a given device (FBNet, arXiv 1812.03443).",
    scope = ScopeType.INHERIT,
    mixinStandardHelpOptions = true,
    showDefaultValues = true,
    versionProvider = FbnetCommand.Version.class,
    exitCodeListHeading = "%nExit codes:%n",
    exitCodeList = {
      "  0:done",
      "  1:internal error",
      "  2:wrong flags",
      "  3:wrong data, file or configuration",
      "  4:no such device, or not enough memory",
      "  5:storage: full, unwritable or in use",
      "  6:the training diverged",
      "  7:another process of the same mpirun failed or does not answer",
      "130:interrupted (SIGINT)",
      "143:terminated (SIGTERM)"
    },
    footer = "%nEnvironment: FBNET_DEBUG=1 shows stack traces.")
final class FbnetCommand {
  /** The verb that describes all others, and so needs them. */
  private static final String COMPLETION = "completion";

  /** What of the jar's manifest says which sources it was built from. */
  private static final String COMMIT = "Fbnet-Commit";

  /** In the order in which help lists them. */
  private static final Map<String, Supplier<Object>> VERBS = new LinkedHashMap<>();

  static {
    VERBS.put("search", SearchCommand::new);
    VERBS.put("sample", SampleCommand::new);
    VERBS.put("report", ReportCommand::new);
    VERBS.put("train", TrainCommand::new);
    VERBS.put("evaluate", EvaluateCommand::new);
    VERBS.put("import", ImportCommand::new);
    VERBS.put("export", ExportCommand::new);
    VERBS.put("describe", DescribeCommand::new);
    VERBS.put("latency", LatencyCommand::new);
    VERBS.put("compare-devices", CompareDevicesCommand::new);
    VERBS.put("compare-strategies", CompareStrategiesCommand::new);
    VERBS.put("data", DataCommand::new);
    VERBS.put("doctor", DoctorCommand::new);
    VERBS.put(COMPLETION, CompletionCommand::new);
  }

  /** The names of all verbs. */
  static Set<String> verbs() {
    return VERBS.keySet();
  }

  /**
   * The command line with the verb that the arguments begin with, or with all of them: to describe
   * every verb's flags takes several times as long as to run a short one.
   */
  static CommandLine forArguments(String... arguments) {
    CommandLine root = new CommandLine(new FbnetCommand());
    String first = arguments.length == 0 ? "" : arguments[0];
    boolean one = VERBS.containsKey(first) && !first.equals(COMPLETION);
    VERBS.forEach(
        (name, verb) -> {
          if (!one || name.equals(first)) {
            // A command line of its own, or the verb's model would not be transformed.
            root.addSubcommand(name, new CommandLine(verb.get()));
          }
        });
    root.setUsageHelpAutoWidth(true);
    return root;
  }

  /** The program's version and commit; of classes that are in no jar nobody knows. */
  static String version() {
    String version = FbnetCommand.class.getPackage().getImplementationVersion();
    if (version == null) {
      return "(unpackaged)";
    }
    try (InputStream in = FbnetCommand.class.getResourceAsStream("/META-INF/MANIFEST.MF")) {
      String commit = in == null ? null : new Manifest(in).getMainAttributes().getValue(COMMIT);
      return version + (commit == null || commit.isEmpty() ? "" : " (commit " + commit + ")");
    } catch (IOException e) {
      // The jar is gone or damaged: whatever else is done will say so.
      return version;
    }
  }

  /** The program's and the virtual machine's version. */
  static final class Version implements IVersionProvider {
    @Override
    public String[] getVersion() {
      return new String[] {
        "fbnet " + version(),
        String.format(
            Locale.ROOT,
            "Java %s (%s), %s %s",
            System.getProperty("java.version"),
            System.getProperty("java.vm.vendor"),
            System.getProperty("os.name"),
            System.getProperty("os.arch"))
      };
    }
  }
}
