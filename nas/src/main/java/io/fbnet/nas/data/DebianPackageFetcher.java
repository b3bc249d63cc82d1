package io.fbnet.nas.data;

import io.fbnet.nas.file.TemporaryFolder;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.Predicate;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * Takes files out of a Debian package with {@code apt-get download}: nothing is installed and no
 * rights are needed, and apt checks the package's signature chain.
 */
final class DebianPackageFetcher implements FileFetcher {
  private static final Pattern URI_LINE = Pattern.compile("'(\\S+)' (\\S+) (\\d+) .*");

  /** Runs a command in a folder and returns what it wrote; fails where it fails. */
  interface CommandRunner {
    String run(Path folder, List<String> command, long seconds)
        throws IOException, InterruptedException;
  }

  /** This machine lacks a command. */
  static final class MissingCommandException extends IOException {
    private static final long serialVersionUID = 1L;

    MissingCommandException(String command) {
      super("this machine has no " + command);
    }
  }

  private final String packageName;
  private final CommandRunner runner;

  DebianPackageFetcher(String packageName, CommandRunner runner) {
    this.packageName = packageName;
    this.runner = runner;
  }

  static DebianPackageFetcher fashionMnist() {
    return new DebianPackageFetcher("dataset-fashion-mnist", DebianPackageFetcher::run);
  }

  @Override
  public String name() {
    return "Debian's package " + packageName;
  }

  @Override
  public void fetch(List<String> files, Path into, Consumer<String> notices)
      throws IOException, InterruptedException {
    Path scratch = Files.createTempDirectory(into, "package");
    try {
      // Answers from the local package lists, so that the notice can come before the download.
      String uris =
          runner.run(scratch, List.of("apt-get", "download", "--print-uris", packageName), 60);
      Matcher uri =
          uris.lines()
              .map(URI_LINE::matcher)
              .filter(Matcher::matches)
              .findFirst()
              .orElseThrow(() -> new IOException("apt-get knows no such package"));
      notices.accept(
          "fetching "
              + packageName
              + " from "
              + uri.group(1)
              + " ("
              + megabytes(Long.parseLong(uri.group(3)))
              + " MB, with apt-get download; nothing is installed)");
      runner.run(scratch, List.of("apt-get", "-q", "download", packageName), 900);
      unpack(scratch, into, files);
    } finally {
      TemporaryFolder.remove(scratch);
    }
  }

  private void unpack(Path scratch, Path into, List<String> files)
      throws IOException, InterruptedException {
    Path archive =
        firstFile(scratch, name -> name.endsWith(".deb"))
            .orElseThrow(() -> new IOException("apt-get download left no package"));
    Path content = Files.createDirectory(scratch.resolve("content"));
    try {
      runner.run(scratch, List.of("dpkg-deb", "-x", archive.toString(), content.toString()), 120);
    } catch (MissingCommandException e) {
      // No dpkg-deb: a package is an ar archive with a tar archive in it.
      runner.run(scratch, List.of("ar", "x", archive.toString()), 120);
      Path data =
          firstFile(scratch, name -> name.startsWith("data.tar"))
              .orElseThrow(() -> new IOException("the package holds no data.tar"));
      runner.run(scratch, List.of("tar", "xf", data.toString(), "-C", content.toString()), 120);
    }
    for (String file : files) {
      Path found =
          firstFile(content, name -> name.equals(file) || name.equals(file + ".gz"))
              .orElseThrow(() -> new IOException("the package holds no " + file));
      Files.move(
          found, into.resolve(found.getFileName().toString()), StandardCopyOption.REPLACE_EXISTING);
    }
  }

  private static Optional<Path> firstFile(Path folder, Predicate<String> wanted)
      throws IOException {
    try (Stream<Path> walk = Files.walk(folder)) {
      return walk.filter(Files::isRegularFile)
          .filter(p -> wanted.test(p.getFileName().toString()))
          .sorted()
          .findFirst();
    }
  }

  static long megabytes(long bytes) {
    return Math.max(1, Math.round(bytes / 1e6));
  }

  private static String run(Path folder, List<String> command, long seconds)
      throws IOException, InterruptedException {
    String program = command.getFirst();
    if (!onPath(program)) {
      throw new MissingCommandException(program);
    }
    ProcessBuilder builder = new ProcessBuilder(command);
    builder.directory(folder.toFile()).redirectErrorStream(true);
    // Messages are looked through for "E:", and must not wait for a person.
    builder.environment().put("LC_ALL", "C");
    builder.environment().put("DEBIAN_FRONTEND", "noninteractive");
    Process process = builder.start();
    process.getOutputStream().close();
    CompletableFuture<String> output = CompletableFuture.supplyAsync(() -> read(process));
    try {
      if (!process.waitFor(seconds, TimeUnit.SECONDS)) {
        throw new IOException(program + " was still running after " + seconds + " s");
      }
    } finally {
      process.descendants().forEach(ProcessHandle::destroyForcibly);
      process.destroyForcibly();
    }
    String text = output.join();
    List<String> errors =
        new ArrayList<>(text.lines().filter(line -> line.startsWith("E:")).toList());
    if (process.exitValue() != 0 || !errors.isEmpty()) {
      errors.addAll(text.lines().toList());
      throw new IOException(
          program
              + " failed: "
              + errors.stream().findFirst().orElse("exit code " + process.exitValue()));
    }
    return text;
  }

  private static String read(Process process) {
    try {
      return new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    } catch (IOException e) {
      return "";
    }
  }

  private static boolean onPath(String program) {
    return Stream.of(System.getenv().getOrDefault("PATH", "").split(File.pathSeparator, -1))
        .filter(entry -> !entry.isEmpty())
        .anyMatch(entry -> Files.isExecutable(Path.of(entry, program)));
  }
}
