package io.fbnet.nas.endtoend;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.module.ModuleDescriptor;
import java.lang.module.ModuleFinder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import javax.tools.Diagnostic;
import javax.tools.DiagnosticCollector;
import javax.tools.JavaCompiler;
import javax.tools.JavaFileObject;
import javax.tools.StandardJavaFileManager;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The packaged jar as a module: what is public can be used, what is internal cannot. */
class ModuleIT {
  private static final Path EXAMPLES = Path.of("src/test/java/io/fbnet/nas/examples");

  @TempDir Path folder;

  private static ModuleDescriptor descriptor() {
    return ModuleFinder.of(Fbnet.jar()).find("io.fbnet").orElseThrow().descriptor();
  }

  /** What the compiler complains of in a module that needs ours. */
  private List<String> errors(String file, String source) throws IOException {
    Path module = folder.resolve("module-info.java");
    Files.writeString(module, "module mine { requires io.fbnet; }");
    Path code = folder.resolve(file);
    Files.createDirectories(code.getParent());
    Files.writeString(code, source);
    JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
    DiagnosticCollector<JavaFileObject> said = new DiagnosticCollector<>();
    try (StandardJavaFileManager files =
        compiler.getStandardFileManager(said, null, StandardCharsets.UTF_8)) {
      List<String> options =
          List.of(
              "--module-path",
              Fbnet.jar().toString(),
              "-proc:none",
              "-d",
              folder.resolve("classes").toString());
      compiler
          .getTask(null, files, said, options, null, files.getJavaFileObjects(module, code))
          .call();
    }
    return said.getDiagnostics().stream()
        .filter(d -> d.getKind() == Diagnostic.Kind.ERROR)
        .map(d -> d.getMessage(null))
        .toList();
  }

  @Test
  void noInternalPackageIsExported() {
    List<String> exported =
        descriptor().exports().stream().map(ModuleDescriptor.Exports::source).sorted().toList();
    assertTrue(exported.contains("io.fbnet.nas.search"), exported.toString());
    for (String internal :
        List.of("foreign", "engine.plan", "nas.cli", "nas.file", "nas.kit", "nas.report")) {
      assertTrue(descriptor().packages().contains("io.fbnet." + internal), internal);
      assertFalse(exported.contains("io.fbnet." + internal), internal);
    }
    assertTrue(exported.stream().allMatch(p -> p.startsWith("io.fbnet.")), exported.toString());
  }

  @Test
  void theExamplesNeedNothingInternal() throws IOException {
    try (Stream<Path> all = Files.list(EXAMPLES)) {
      List<Path> examples =
          all.filter(f -> !f.getFileName().toString().endsWith("Test.java")).toList();
      assertTrue(examples.size() >= 6, examples.toString());
      for (Path example : examples) {
        String source =
            Files.readString(example)
                .replace("package io.fbnet.nas.examples", "package mine")
                // Neighbours are compiled with them in the project.
                .replace("Stream.of(2, 4).<Block>map(Bottleneck::new)", "Stream.<Block>empty()")
                .replace("Optional.<Block>of(new Identity())", "Optional.<Block>empty()");
        assertEquals(List.of(), errors("mine/" + example.getFileName(), source));
      }
    }
  }

  @Test
  void whatIsInternalCannotBeNamed() throws IOException {
    List<String> errors =
        errors("mine/Inside.java", "package mine; class Inside { io.fbnet.nas.file.Node node; }");
    assertEquals(1, errors.size(), errors.toString());
    assertTrue(errors.getFirst().contains("io.fbnet.nas.file"), errors.getFirst());
  }

  @Test
  void theProgramRunsFromTheModulePath() throws Exception {
    Process process =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--module-path",
                Fbnet.jar().toString(),
                "--add-modules=jdk.incubator.vector",
                "--enable-native-access=io.fbnet",
                "--module",
                "io.fbnet/io.fbnet.nas.cli.Main",
                "latency",
                "show",
                "raspi4")
            .redirectErrorStream(true)
            .start();
    String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertEquals(0, process.waitFor(), said);
    assertTrue(said.contains("raspi4") && said.contains("k5_e6"), said);
  }
}
