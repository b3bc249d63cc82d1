package io.fbnet.nas.cli;

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
      "130:interrupted (SIGINT)",
      "143:terminated (SIGTERM)"
    },
    footer = "%nEnvironment: FBNET_DEBUG=1 shows stack traces.",
    subcommands = {
      SearchCommand.class,
      SampleCommand.class,
      ReportCommand.class,
      TrainCommand.class,
      EvaluateCommand.class,
      ImportCommand.class,
      ExportCommand.class,
      DescribeCommand.class,
      LatencyCommand.class,
      CompareDevicesCommand.class,
      DataCommand.class,
      DoctorCommand.class,
      CompletionCommand.class
    })
final class FbnetCommand {
  /** The program's and the virtual machine's version. */
  static final class Version implements IVersionProvider {
    @Override
    public String[] getVersion() {
      String version = FbnetCommand.class.getPackage().getImplementationVersion();
      return new String[] {
        "fbnet " + (version == null ? "(unpackaged)" : version),
        "Java %s (%s), %s %s"
            .formatted(
                System.getProperty("java.version"),
                System.getProperty("java.vm.vendor"),
                System.getProperty("os.name"),
                System.getProperty("os.arch"))
      };
    }
  }
}
