package io.fbnet.nas.examples;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The page of the library shows what is compiled here and run by the tests beside it. */
class LibraryPageTest {
  private static final Path PAGE = Path.of("..", "docs", "library.md");
  private static final String BEGIN = "// Example begins\n";

  @ParameterizedTest
  @ValueSource(strings = {"FirstSearch", "Bottleneck", "BottleneckProvider", "HillClimb"})
  void thePageShowsWhatRuns(String name) throws IOException {
    Path source = Path.of("src/test/java/io/fbnet/nas/examples", name + ".java");
    String text = Files.readString(source);
    String example =
        text.substring(text.indexOf(BEGIN) + BEGIN.length(), text.indexOf("// Example ends"));
    assertTrue(
        Files.readString(PAGE).contains("```java\n" + example.strip() + "\n```"),
        PAGE + " shows another " + name);
  }
}
