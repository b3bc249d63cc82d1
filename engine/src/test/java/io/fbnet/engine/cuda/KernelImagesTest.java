package io.fbnet.engine.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.fbnet.foreign.CudaArguments;
import io.fbnet.foreign.CudaDevice;
import io.fbnet.foreign.CudaFunction;
import io.fbnet.foreign.CudaModule;
import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.net.URISyntaxException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** The compiled kernels in the jar, and how arguments are packed for them. */
class KernelImagesTest {
  private static final Pattern ENTRY = Pattern.compile("\\.entry\\s+(\\w+)");
  private static final int[] ONE = {1, 1, 1};

  @BeforeEach
  void needsADevice() {
    String obstacle = CudaBackend.obstacle();
    assumeTrue(obstacle.isEmpty(), obstacle);
    if (SoftwareCuda.present()) {
      SoftwareCuda.reset();
    }
  }

  private static byte[] resource(String name) throws IOException {
    try (InputStream in = CudaBackend.class.getResourceAsStream("/io/fbnet/kernels/" + name)) {
      return in == null ? null : in.readAllBytes();
    }
  }

  private static List<String> files() throws IOException, URISyntaxException {
    URI port = CudaBackend.class.getResource("/io/fbnet/kernels/port.h").toURI();
    assumeTrue(port.getScheme().equals("file"), "kernels are looked at as files, not in a jar");
    try (Stream<Path> files = Files.list(Path.of(port).getParent())) {
      return files
          .map(f -> f.getFileName().toString())
          .filter(f -> f.endsWith(".cu"))
          .map(f -> f.substring(0, f.length() - 3))
          .sorted()
          .toList();
    }
  }

  /**
   * The software device compares the parameters of every kernel in the PTX, which nvcc made, with
   * those of the host build that the tests run: neither may drift from the other.
   */
  @Test
  void signaturesOfPtxAndHostBuildAgree() throws IOException, URISyntaxException {
    int kernels = 0;
    try (CudaDevice device = CudaDevice.open(0)) {
      for (String file : files()) {
        byte[] ptx = resource(file + ".ptx");
        assumeTrue(ptx != null, "the kernels were built without nvcc");
        try (CudaModule module = CudaModule.load(ptx)) {
          Matcher matcher = ENTRY.matcher(new String(ptx, StandardCharsets.US_ASCII));
          while (matcher.find()) {
            assertEquals(matcher.group(1), module.function(matcher.group(1)).name());
            kernels++;
          }
        }
      }
      assertTrue(device.totalMemory() > 0);
    }
    assertTrue(kernels >= 80, "only " + kernels + " kernels");
  }

  @Test
  void argumentsThatDoNotFitAreRefusedBeforeALaunch() throws IOException {
    byte[] image = resource("sgd.fatbin");
    assumeTrue(image != null, "the kernels were built without nvcc");
    try (CudaDevice device = CudaDevice.open(0);
        CudaModule module = CudaModule.load(image)) {
      CudaFunction sgd = module.function("sgd_update");
      CudaArguments five =
          new CudaArguments().pointer(null).pointer(null).pointer(null).pointer(null).pointer(null);
      String few = refusal(sgd, five);
      assertTrue(few.contains("sgd_update takes more than 5 parameters"), few);
      String type = refusal(sgd, five.i32(7).i64(3).f32(1).f32(1));
      assertTrue(type.contains("parameter 5 of kernel sgd_update has 8 bytes"), type);
      assertEquals(90, SoftwareCuda.present() ? device.computeCapability() : 90);
    }
  }

  private static String refusal(CudaFunction function, CudaArguments arguments) {
    return assertThrows(
            IllegalArgumentException.class, () -> function.prepare(ONE, ONE, 0, arguments).close())
        .getMessage();
  }
}
