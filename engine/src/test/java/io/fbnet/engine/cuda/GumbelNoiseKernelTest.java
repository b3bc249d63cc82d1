package io.fbnet.engine.cuda;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.fbnet.engine.random.GumbelNoise;
import io.fbnet.engine.random.Philox;
import io.fbnet.foreign.CudaArguments;
import io.fbnet.foreign.CudaDevice;
import io.fbnet.foreign.CudaLaunch;
import io.fbnet.foreign.CudaStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The kernel's random words and noise are the CPU's, bit for bit. */
class GumbelNoiseKernelTest {
  private static final int COUNT = 100_003;

  @TempDir private Path cache;

  @ParameterizedTest
  @CsvSource({"1, 0, 0", "-77, 123456789012, 7", "9223372036854775807, -1, 2147483647"})
  void wordsAndNoiseAreThoseOfTheCpu(long seed, long step, int stream) {
    String obstacle = CudaBackend.obstacle();
    assumeTrue(obstacle.isEmpty(), obstacle);
    if (SoftwareCuda.present()) {
      SoftwareCuda.reset();
    }
    try (CudaDevice device = CudaDevice.open(0);
        KernelLibrary kernels = new KernelLibrary(device, cache, note -> {});
        CudaStream work = CudaStream.create();
        Arena arena = Arena.ofConfined()) {
      MemorySegment scalars = device.allocate(16);
      MemorySegment words = device.allocate(4L * COUNT);
      MemorySegment noise = device.allocate(4L * COUNT);
      work.copyToDevice(scalars, arena.allocateFrom(JAVA_LONG, seed, step), 16);
      CudaArguments arguments =
          new CudaArguments()
              .pointer(scalars.asSlice(0, 8))
              .pointer(scalars.asSlice(8, 8))
              .pointer(words)
              .pointer(noise)
              .i32(COUNT)
              .i32(stream);
      MemorySegment hostWords = arena.allocate(JAVA_INT, COUNT);
      MemorySegment hostNoise = arena.allocate(JAVA_FLOAT, COUNT);
      try (CudaLaunch launch =
          kernels
              .function("gumbel_softmax", "gumbel_noise")
              .prepare(new int[] {16, 1, 1}, new int[] {256, 1, 1}, 0, arguments)) {
        launch.on(work);
        work.copyToHost(hostWords, words, 4L * COUNT);
        work.copyToHost(hostNoise, noise, 4L * COUNT);
        work.synchronise();
      }
      for (int i = 0; i < COUNT; i++) {
        int word = Philox.word(seed, stream, step, i);
        assertEquals(word, hostWords.getAtIndex(JAVA_INT, i), "word " + i);
        assertEquals(
            Float.floatToRawIntBits(GumbelNoise.of(word)),
            Float.floatToRawIntBits(hostNoise.getAtIndex(JAVA_FLOAT, i)),
            "noise " + i);
      }
      for (MemorySegment memory : new MemorySegment[] {scalars, words, noise}) {
        device.free(memory);
      }
    }
  }
}
