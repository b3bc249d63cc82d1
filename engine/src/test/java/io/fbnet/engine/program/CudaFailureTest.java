package io.fbnet.engine.program;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.fbnet.engine.backend.DeviceFailure;
import io.fbnet.engine.backend.OutOfDeviceMemory;
import io.fbnet.engine.cuda.CudaBackend;
import io.fbnet.engine.cuda.CudaOptions;
import io.fbnet.engine.cuda.SoftwareCuda;
import io.fbnet.engine.cuda.SoftwareCuda.Call;
import io.fbnet.engine.cuda.SoftwareCuda.Live;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What goes wrong on a device ends in one sentence, with nothing left behind. */
class CudaFailureTest {
  private static final long SEED = 20260112L;
  private static final int OUT_OF_MEMORY = 2;
  private static final int LAUNCH_FAILED = 719;
  private static final int NO_BINARY_FOR_GPU = 209;

  @TempDir private Path cache;

  @BeforeEach
  void onTheSoftwareDevice() {
    assumeTrue(SoftwareCuda.present(), "failures can be injected into the software device alone");
    // The driver's first initialisation forgets what was injected before it.
    assertEquals("", CudaBackend.obstacle());
    SoftwareCuda.reset();
  }

  @AfterEach
  void fresh() {
    if (SoftwareCuda.present()) {
      SoftwareCuda.reset();
    }
  }

  private static void scenario() {
    SmallSupernet net = SmallSupernet.of(4, true, SmallSupernet.Update.BOTH_OPTIMISERS);
    try (CudaBackend backend = Devices.cuda(CudaOptions.DEFAULT);
        Instance instance = new Instance(backend, net.graph(), SEED)) {
      for (int step = 0; step < 3; step++) {
        instance.program.run();
        instance.program.read("loss");
      }
    }
  }

  private static void nothingIsLeft(String after) {
    for (Live kind : Live.values()) {
      assertEquals(0, SoftwareCuda.live(kind), kind + " after " + after);
    }
  }

  private static String oneSentence(String message) {
    assertFalse(message.contains("\n"), message);
    return message;
  }

  @Test
  void memoryThatRunsOutAtAnyAllocationIsOneSentence() {
    int planned = 0;
    int nth = 1;
    while (true) {
      SoftwareCuda.fail(Call.ALLOCATION, nth, OUT_OF_MEMORY, false);
      try {
        scenario();
        break;
      } catch (OutOfDeviceMemory e) {
        String message = oneSentence(e.getMessage());
        assertTrue(message.contains("MiB are free") || message.contains("page-locked"), message);
        assertTrue(message.contains("batch"), message);
        planned += message.contains(" plan") || message.contains("page-locked") ? 1 : 0;
      }
      nothingIsLeft("allocation " + nth + " failed");
      nth++;
    }
    SoftwareCuda.fail(Call.ALLOCATION, 0, 0, false);
    assertTrue(nth > 15, "only " + nth + " allocations");
    assertTrue(planned > nth - 6, "only " + planned + " of " + nth + " say what was planned");
    // The device works again afterwards.
    scenario();
    nothingIsLeft("the last run");
  }

  @Test
  void aPlanThatDoesNotFitNamesABatchThatDoes() {
    SmallSupernet net = SmallSupernet.of(64, true, SmallSupernet.Update.NONE);
    try (CudaBackend backend = Devices.cuda(CudaOptions.DEFAULT)) {
      SoftwareCuda.memory(3 << 20);
      OutOfDeviceMemory e =
          assertThrows(
              OutOfDeviceMemory.class, () -> new Instance(backend, net.graph(), SEED).close());
      String message = oneSentence(e.getMessage());
      assertTrue(message.matches(".*a batch of about \\d+ would fit instead of 64.*"), message);
      int fits = Integer.parseInt(message.replaceAll(".*a batch of about (\\d+) would.*", "$1"));
      SmallSupernet less =
          SmallSupernet.of(Math.max(1, fits * 3 / 4), true, SmallSupernet.Update.NONE);
      // An estimate; but with a quarter less it does fit.
      Instance instance = new Instance(backend, less.graph(), SEED);
      instance.program.run();
      instance.close();
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"LAUNCH", "COPY", "GRAPH_LAUNCH"})
  void aLostDeviceIsOneSentence(Call call) {
    for (int nth : List.of(1, 2)) {
      SoftwareCuda.fail(call, nth, LAUNCH_FAILED, true);
      DeviceFailure e = assertThrows(DeviceFailure.class, CudaFailureTest::scenario);
      String message = oneSentence(e.getMessage());
      assertTrue(e.lost() && message.contains("lost") && message.contains("719"), message);
      SoftwareCuda.reset();
    }
    scenario();
    nothingIsLeft("a device that came back");
  }

  @Test
  void kernelsThatDoNotFitAreCompiledHereOnce() throws IOException {
    SmallSupernet net = SmallSupernet.of(2, false, SmallSupernet.Update.NONE);
    List<String> notes = new ArrayList<>();
    for (int start = 0; start < 2; start++) {
      notes.clear();
      SoftwareCuda.failModuleLoad(NO_BINARY_FOR_GPU);
      try (CudaBackend backend = CudaBackend.open(CudaOptions.DEFAULT, cache, notes::add);
          Instance instance = new Instance(backend, net.graph(), SEED)) {
        instance.program.run();
        assertTrue(Float.isFinite(instance.program.scalar("loss")));
      }
      assertEquals(1, notes.size(), notes.toString());
      assertTrue(notes.getFirst().contains("NVRTC") && notes.getFirst().contains("sm_90"));
      try (var files = Files.list(cache)) {
        assertEquals(1, files.filter(f -> f.toString().endsWith(".cubin")).count());
      }
    }
  }

  /** One step with kernels that are compiled here; what was said. */
  private static List<String> compiledIn(Path folder) {
    List<String> notes = new ArrayList<>();
    SmallSupernet net = SmallSupernet.of(2, false, SmallSupernet.Update.NONE);
    SoftwareCuda.failModuleLoad(NO_BINARY_FOR_GPU);
    try (CudaBackend backend = CudaBackend.open(CudaOptions.DEFAULT, folder, notes::add);
        Instance instance = new Instance(backend, net.graph(), SEED)) {
      instance.program.run();
      assertTrue(Float.isFinite(instance.program.scalar("loss")));
    }
    return notes;
  }

  private static List<Path> list(Path folder) throws IOException {
    try (Stream<Path> files = Files.list(folder)) {
      return files.sorted().toList();
    }
  }

  @Test
  void kernelsThatOthersMayHaveWrittenAreNotLoaded() throws IOException {
    Path folder = Files.createDirectories(cache.resolve("kernels"));
    Set<PosixFilePermission> open = PosixFilePermissions.fromString("rwxrwxrwx");
    Files.setPosixFilePermissions(folder, open);
    Path planted = Files.writeString(folder.resolve("planted.cubin"), "anybody's");
    assertEquals(1, compiledIn(folder).size());
    assertFalse(Files.exists(planted), "what others could write to is emptied");
    assertEquals("rwxr-xr-x", PosixFilePermissions.toString(Files.getPosixFilePermissions(folder)));
    assertEquals(1, list(folder).size());
    assumeTrue(System.getProperty("user.name").equals("root"), "only root gives files away");
    Path kept = list(folder).getFirst();
    var nobody =
        folder.getFileSystem().getUserPrincipalLookupService().lookupPrincipalByName("nobody");
    Files.setOwner(folder, nobody);
    // Of the right name, and no kernel: it would fail where it is loaded without a word.
    Files.writeString(kept, "anybody's");
    List<String> notes = compiledIn(folder);
    assertEquals(2, notes.size(), notes.toString());
    assertTrue(notes.get(1).contains("belongs to the user nobody"), notes.toString());
    assertEquals("anybody's", Files.readString(kept));
  }

  @Test
  void aPlantedErrorIsNoticed() {
    SmallSupernet net = SmallSupernet.of(4, true, SmallSupernet.Update.NONE);
    List<Float> losses = new ArrayList<>();
    for (String kernel : List.of("", "weighted_sum_forward_f32", "batch_norm_apply_f32")) {
      SoftwareCuda.reset();
      try (CudaBackend backend = Devices.cuda(CudaOptions.DEFAULT);
          Instance instance = new Instance(backend, net.graph(), SEED)) {
        SoftwareCuda.plant(kernel);
        instance.program.run();
        losses.add(instance.program.scalar("loss"));
      }
    }
    assertEquals(3, losses.stream().distinct().count(), losses.toString());
  }
}
