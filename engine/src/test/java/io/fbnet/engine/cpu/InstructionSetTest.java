package io.fbnet.engine.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What is told with a measurement, by the numbers of oneDNN's {@code dnnl_cpu_isa_t}. */
class InstructionSetTest {
  @ParameterizedTest
  @CsvSource({
    "0x01, sse4.1",
    "0x03, avx",
    "0x07, avx2",
    "0x0f, avx2",
    "0x1f, avx2",
    "0x27, avx512",
    "0x67, avx512",
    "0xe7, avx512 bf16",
  })
  void isTheOneThatTheLibraryCompilesFor(String bits, String name) {
    assertEquals(name, CpuBackend.instructionSet(Integer.decode(bits)));
  }
}
