package io.fbnet.nas.run;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.nas.ExitCode;
import io.fbnet.nas.Refusals;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class MetricsLogTest {
  @TempDir Path folder;

  private Path path() {
    return folder.resolve("metrics.jsonl");
  }

  private void append(long... steps) {
    try (MetricsLog log = MetricsLog.open(path())) {
      for (long step : steps) {
        log.append(step, Map.of("loss", step / 2.0));
      }
    }
  }

  private List<Long> steps() {
    return MetricsLog.read(path()).stream().map(line -> line.get("step").asLong()).toList();
  }

  @Test
  void everyLineIsThereAtOnce() throws IOException {
    try (MetricsLog log = MetricsLog.open(path())) {
      Map<String, Object> fields = new LinkedHashMap<>();
      fields.put("phase", "w");
      fields.put("loss", Double.NaN);
      fields.put("accuracy", 0.5f);
      fields.put("theta", List.of(1, 2));
      log.append(7, fields);
      assertEquals(
          "{\"format\":1,\"step\":7,\"phase\":\"w\",\"loss\":null,\"accuracy\":0.5,\"theta\":[1,2]}\n",
          Files.readString(path()));
      log.append(8, Map.of());
      log.force();
      assertThrows(IllegalArgumentException.class, () -> log.append(9, Map.of("step", 1)));
    }
    List<ObjectNode> lines = MetricsLog.read(path());
    assertEquals(2, lines.size());
    assertEquals(2, lines.get(0).get("theta").size());
    assertEquals(List.of(), MetricsLog.read(folder.resolve("none")));
  }

  @Test
  void aTornLineDoesNotSpoilTheNext() throws IOException {
    append(1, 2);
    Files.writeString(path(), "{\"format\":1,\"st", StandardOpenOption.APPEND);
    assertEquals(List.of(1L, 2L), steps());
    append(3);
    assertEquals(List.of(1L, 2L, 3L), steps());
    Files.writeString(path(), "{\"form");
    append(4);
    assertEquals(List.of(4L), steps());
  }

  @Test
  void resumingCutsBackToTheCheckpoint() throws IOException {
    append(1, 2, 3, 4);
    Files.writeString(path(), "{\"torn", StandardOpenOption.APPEND);
    assertEquals(2, MetricsLog.truncateAfter(path(), 2));
    assertEquals(List.of(1L, 2L), steps());
    assertTrue(Files.readString(path()).endsWith("\n"));
    append(3);
    assertEquals(List.of(1L, 2L, 3L), steps());
    assertEquals(0, MetricsLog.truncateAfter(folder.resolve("none"), 2));
  }

  @Test
  void wrongLinesAreRefusedWithTheirNumber() throws IOException {
    append(1);
    for (String wrong :
        List.of(
            "{\"format\":1,",
            "[]",
            "{\"format\":1}",
            "{\"step\":3}",
            "{\"format\":2,\"step\":3}",
            "")) {
      Files.writeString(path(), "{\"format\":1,\"step\":1}\n" + wrong + "\n");
      Refusals.data(() -> MetricsLog.read(path()), "metrics.jsonl, line 2");
    }
    Refusals.refused(ExitCode.STORAGE, () -> MetricsLog.open(folder), "cannot write");
  }
}
