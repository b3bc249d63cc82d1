package io.fbnet.nas.endtoend;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A comparison that is killed and taken up by two processes at once ends as an unbroken one. */
class ComparisonIT {
  private static final long LONGEST_SECONDS = 500;

  @TempDir Path folder;

  private String[] compare(Path space, Path table, Path out) {
    return new String[] {
      "compare-strategies",
      "--strategies=random",
      "--seeds=1,2,3",
      "--space=" + space,
      "--lut=" + table,
      "--data=shapes",
      "--train-images=240",
      "--batch=16",
      "--threads=1",
      "--evaluations=3",
      "--cost=500M",
      "--out=" + out
    };
  }

  /** What is equal in any two comparisons by the same flags. */
  private static JsonNode results(Path out) throws IOException {
    JsonNode tree = new ObjectMapper().readTree(Files.readString(out.resolve("results.json")));
    for (String list : List.of("runs", "strategies")) {
      tree.path(list).forEach(item -> ((ObjectNode) item).remove("seconds"));
    }
    return tree;
  }

  @Test
  @Tag("full")
  void aKilledOneIsTakenUpByTwoProcesses() throws Exception {
    Fbnet fbnet = new Fbnet(folder);
    Path space = fbnet.tinySpace();
    Path table = fbnet.tinyTable();
    Path unbroken = folder.resolve("unbroken");
    Fbnet.Outcome whole = fbnet.here(compare(space, table, unbroken));
    assertEquals(0, whole.code(), whole.err());

    Path broken = folder.resolve("broken");
    Path err = folder.resolve("killed.err");
    Process killed = fbnet.start(folder.resolve("killed.out"), err, compare(space, table, broken));
    while (killed.isAlive() && !Files.readString(err).contains("search 2 of 3")) {
      Thread.sleep(20);
    }
    killed.destroyForcibly();
    assertTrue(killed.waitFor(30, TimeUnit.SECONDS));
    assertTrue(Files.readString(err).contains("search 2 of 3"), Files.readString(err));
    List<Process> both = new ArrayList<>();
    for (String name : List.of("one", "two")) {
      both.add(
          fbnet.start(
              folder.resolve(name + ".out"),
              folder.resolve(name + ".err"),
              "compare-strategies",
              "--resume",
              broken.toString()));
    }
    for (Process process : both) {
      assertTrue(process.waitFor(LONGEST_SECONDS, TimeUnit.SECONDS), "hangs");
    }
    Fbnet.Outcome last = fbnet.here("compare-strategies", "--resume", broken.toString());
    assertEquals(0, last.code(), last.err());
    assertEquals(results(unbroken), results(broken));
    assertEquals(3, results(broken).path("runs").size());
  }
}
