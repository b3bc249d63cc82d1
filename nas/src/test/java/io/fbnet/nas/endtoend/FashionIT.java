package io.fbnet.nas.endtoend;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The training proof on Fashion-MNIST in its short form. */
@Tag("full")
class FashionIT {
  @TempDir Path folder;

  @Test
  void aFixedNetworkLearnsRealImages() throws Exception {
    Path architecture = Path.of("..", "docs", "examples", "fixed-fashion.json").toAbsolutePath();
    Fbnet.Outcome outcome =
        new Fbnet(folder)
            .run(
                "train",
                architecture.toString(),
                "--train-images",
                "20000",
                "--epochs",
                "4",
                "--seed",
                "1");
    assertEquals(0, outcome.code(), outcome.err());
    Matcher accuracy = Pattern.compile("fashion-mnist: (\\d\\.\\d+)").matcher(outcome.out());
    assertTrue(accuracy.find(), outcome.out());
    double reached = Double.parseDouble(accuracy.group(1));
    System.out.println("accuracy " + reached);
    // The whole form (README) reaches 0.91; a third of the images, four times each, at least this.
    assertTrue(reached > 0.86, outcome.out());
  }
}
