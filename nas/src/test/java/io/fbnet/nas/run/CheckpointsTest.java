package io.fbnet.nas.run;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import io.fbnet.nas.ExitCode;
import io.fbnet.nas.Refusals;
import java.io.BufferedReader;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CheckpointsTest {
  @TempDir Path folder;

  private static Checkpoints.Snapshot snapshot(long step) {
    return snapshot(step, "weights");
  }

  private static Checkpoints.Snapshot snapshot(long step, String phase) {
    MemorySegment weights = MemorySegment.ofArray(new float[] {step, 2 * step});
    MemorySegment theta = MemorySegment.ofArray(new double[] {step});
    return new Checkpoints.Snapshot(
        step,
        3,
        phase,
        Map.of(
            "weights", List.of(Tensor.of("w", Tensor.Type.F32, weights, 2)),
            "theta", List.of(Tensor.of("t", Tensor.Type.F64, theta, 1))),
        Map.of("threads", "2", "isa", "avx2"),
        "sha256:00",
        JsonNodeFactory.instance.objectNode().put("tau", 4.5));
  }

  private Checkpoints.Found newest(List<String> notices) {
    return new Checkpoints(folder, 2).newestValid(notices::add).orElseThrow();
  }

  private static float firstWeight(Checkpoints.Found found) {
    float[] weights = new float[2];
    try (Safetensors.Reader reader = found.open("weights")) {
      reader.read("w", MemorySegment.ofArray(weights));
    }
    return weights[0];
  }

  private List<String> names() throws IOException {
    try (var files = Files.list(folder)) {
      return files.map(file -> file.getFileName().toString()).sorted().toList();
    }
  }

  @Test
  void theNewestIsReadBackAndTwoAreKept() throws IOException {
    Checkpoints checkpoints = new Checkpoints(folder, 2);
    assertTrue(checkpoints.newestValid(notice -> {}).isEmpty());
    for (long step : new long[] {5, 10, 268_435_456}) {
      checkpoints.write(snapshot(step));
    }
    assertEquals(List.of("step-00000010", "step-268435456"), names());
    List<String> notices = new ArrayList<>();
    Checkpoints.Found found = newest(notices);
    assertEquals(List.of(), notices);
    assertEquals(268_435_456, found.manifest().step());
    assertEquals(3, found.manifest().epoch());
    assertEquals("weights", found.manifest().phase());
    assertEquals(4.5, found.manifest().state().get("tau").asDouble());
    assertEquals(Map.of("threads", "2", "isa", "avx2"), found.manifest().environment());
    assertEquals(268_435_456, (int) firstWeight(found));
    assertEquals(
        List.of(), found.differences(Map.of("threads", "2", "isa", "avx2", "new", "thing")));
    List<String> differences = found.differences(Map.of("threads", "4"));
    assertEquals(1, differences.size());
    assertTrue(differences.get(0).contains("threads 2, now it is 4"), differences.get(0));
    assertThrows(IllegalArgumentException.class, () -> new Checkpoints(folder, 1));
  }

  @Test
  void afterAFailureAtAnyPointAWholeCheckpointStands() throws IOException {
    for (String stage :
        List.of(
            "before theta.safetensors",
            "before weights.safetensors",
            "before manifest.json",
            "before pruning")) {
      new Checkpoints(folder, 2).write(snapshot(1));
      new Checkpoints(folder, 2).write(snapshot(2));
      Checkpoints failing =
          new Checkpoints(
              folder,
              2,
              reached -> {
                if (reached.equals(stage)) {
                  throw new IOException("No space left on device");
                }
              });
      Refusals.refused(
          ExitCode.STORAGE, () -> failing.write(snapshot(3)), "No space left", "step-00000003");
      List<String> notices = new ArrayList<>();
      Checkpoints.Found found = newest(notices);
      if (stage.equals("before pruning")) {
        assertEquals(3, found.manifest().step());
        assertEquals(List.of(), notices);
      } else {
        assertEquals(2, found.manifest().step(), stage);
        assertEquals(2f, firstWeight(found));
        assertEquals(1, notices.size(), stage);
        assertTrue(notices.get(0).contains("never finished"), notices.get(0));
      }
      // The run goes on and the torn one is overwritten or swept away.
      new Checkpoints(folder, 2).write(snapshot(3));
      new Checkpoints(folder, 2).write(snapshot(4));
      assertEquals(List.of("step-00000003", "step-00000004"), names());
      new Checkpoints(folder, 2).write(snapshot(1));
    }
  }

  @Test
  void damagedCheckpointsArePassedOverWithTheReason() throws IOException {
    Checkpoints checkpoints = new Checkpoints(folder, 5);
    for (long step = 1; step <= 5; step++) {
      checkpoints.write(snapshot(step));
    }
    Path weights = folder.resolve("step-00000005/weights.safetensors");
    byte[] bytes = Files.readAllBytes(weights);
    bytes[bytes.length - 1] ^= 1;
    Files.write(weights, bytes);
    Path shorter = folder.resolve("step-00000004/weights.safetensors");
    Files.write(shorter, Arrays.copyOf(bytes, bytes.length - 1));
    Files.delete(folder.resolve("step-00000003/theta.safetensors"));
    Files.writeString(folder.resolve("step-00000002/manifest.json"), "{\"format\": 1");
    List<String> notices = new ArrayList<>();
    assertEquals(1, newest(notices).manifest().step());
    assertEquals(4, notices.size());
    assertTrue(notices.get(0).contains("hash"), notices.get(0));
    assertTrue(notices.get(1).contains("bytes"), notices.get(1));
    assertTrue(notices.get(2).contains("theta.safetensors is missing"), notices.get(2));
    assertTrue(notices.get(3).contains("not valid JSON"), notices.get(3));
    Files.writeString(folder.resolve("not-a-checkpoint"), "");
    Files.move(folder.resolve("step-00000001"), folder.resolve("step-00000009"));
    notices.clear();
    assertTrue(checkpoints.newestValid(notices::add).isEmpty());
    assertTrue(notices.get(0).contains("of step 1"), notices.get(0));
  }

  @Test
  void theSameStepIsNotWrittenTwice() throws IOException {
    Checkpoints checkpoints = new Checkpoints(folder, 2);
    Path saved = checkpoints.write(snapshot(1));
    Checkpoints failing =
        new Checkpoints(
            folder,
            2,
            stage -> {
              throw new IOException("must not write");
            });
    assertEquals(saved, failing.write(snapshot(1)));
    // Another phase at the same step is another state.
    checkpoints.write(snapshot(1, "theta"));
    assertEquals("theta", newest(new ArrayList<>()).manifest().phase());
  }

  @Test
  void laterStepsOfAnAbandonedCourseGo() throws IOException {
    Checkpoints checkpoints = new Checkpoints(folder, 3);
    checkpoints.write(snapshot(8));
    checkpoints.write(snapshot(9));
    checkpoints.write(snapshot(4));
    assertEquals(List.of("step-00000004"), names());
  }

  @Test
  void manifestsAreReadStrictly() throws IOException {
    Path written = new Checkpoints(folder, 2).write(snapshot(1));
    Path file = written.resolve("manifest.json");
    String good = Files.readString(file);
    for (String[] change :
        new String[][] {
          {"\"format\": 1", "\"format\": 9", "version"},
          {"\"step\": 1", "\"step\": -1", "'step'"},
          {"\"theta.safetensors\"", "\"../theta.safetensors\"", "plain file name"},
          {"\"theta.safetensors\"", "\"theta\\n.safetensors\"", "plain file name"},
          {"\"theta.safetensors\"", "\"" + "t".repeat(101) + "\"", "plain file name"},
          {"\"sha256\": \"", "\"sha256\": \"A", "64 lower-case hexadecimal digits"},
          {"\"state\"", "\"stat\"", "'state'?"},
          {"\"threads\": \"2\"", "\"threads\": 2", "environment.threads"},
        }) {
      assertTrue(good.contains(change[0]), good);
      Files.writeString(file, good.replace(change[0], change[1]));
      Refusals.data(() -> Manifest.read(file), "manifest.json", change[2]);
    }
  }

  @Test
  void tooLittleSpaceIsToldBeforeTheRun() {
    Checkpoints.requireFreeSpace(folder.resolve("not/yet/there"), 1);
    Refusals.refused(
        ExitCode.STORAGE,
        () -> Checkpoints.requireFreeSpace(folder.resolve("not/yet"), Long.MAX_VALUE),
        "MiB free",
        folder.toString());
  }

  @Test
  void anUnwritableFolderIsAStorageError() throws IOException {
    Path file = Files.writeString(folder.resolve("file"), "x");
    Checkpoints checkpoints = new Checkpoints(file.resolve("checkpoints"), 2);
    Refusals.refused(ExitCode.STORAGE, () -> checkpoints.write(snapshot(1)), "cannot write");
    assertFalse(Files.isDirectory(file));
  }

  /** Writes checkpoints until it is killed. */
  static final class Writer {
    private Writer() {}

    public static void main(String[] arguments) {
      Checkpoints checkpoints = new Checkpoints(Path.of(arguments[0]), 2);
      long first = checkpoints.newestValid(notice -> {}).map(f -> f.manifest().step()).orElse(0L);
      float[] weights = new float[200_000];
      for (long step = first + 1; ; step++) {
        Arrays.fill(weights, (float) step);
        MemorySegment data = MemorySegment.ofArray(weights);
        checkpoints.write(
            new Checkpoints.Snapshot(
                step,
                0,
                "w",
                Map.of("weights", List.of(Tensor.of("w", Tensor.Type.F32, data, weights.length))),
                Map.of(),
                "sha256:00",
                JsonNodeFactory.instance.objectNode()));
        System.out.println(step);
      }
    }
  }

  @Test
  void aKilledProcessLosesAtMostTheStepItWasWriting() throws Exception {
    long seed = 20260704L;
    System.out.println("CheckpointsTest seed " + seed);
    Random random = new Random(seed);
    for (int round = 0; round < 3; round++) {
      Process writer =
          new ProcessBuilder(
                  Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                  "-cp",
                  System.getProperty("java.class.path"),
                  Writer.class.getName(),
                  folder.toString())
              .redirectError(ProcessBuilder.Redirect.INHERIT)
              .start();
      long announced = 0;
      try (BufferedReader out = writer.inputReader()) {
        for (int i = 0; i < 2 + random.nextInt(6); i++) {
          announced = Long.parseLong(out.readLine());
        }
        Thread.sleep(random.nextInt(20));
      } finally {
        writer.destroyForcibly().waitFor();
      }
      List<String> notices = new ArrayList<>();
      Checkpoints.Found found = newest(notices);
      assertTrue(found.manifest().step() >= announced, announced + " was lost: " + notices);
      assertTrue(notices.size() <= 1, notices.toString());
      float[] weights = new float[200_000];
      try (Safetensors.Reader reader = found.open("weights")) {
        reader.read("w", MemorySegment.ofArray(weights));
      }
      assertEquals((float) found.manifest().step(), weights[weights.length - 1]);
    }
  }
}
