package io.fbnet.bench.gpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.fbnet.engine.backend.Launch;
import io.fbnet.engine.backend.Precision;
import io.fbnet.engine.cuda.CudaBackend;
import io.fbnet.engine.program.ParameterStore;
import io.fbnet.engine.program.Program;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Operations of the bandwidth report in bf16 whose share of a copy's speed the model puts at their
 * floor or above, even at worst.
 */
class KernelRowsTest {
  private static final long BYTES = 384L << 20;

  /** A copy within the device, in bytes a microsecond, as the model has it. */
  private static final double COPY = 4.2128e6;

  @ParameterizedTest
  @CsvSource({
    "'depthwise 5x5 s1', 0.7",
    "'depthwise 5x5 s1, gradient of images', 0.7",
    "'depthwise 5x5 s1, gradient of weights', 0.5",
    "'depthwise 3x3 s1', 0.7",
    "'depthwise 3x3 s1, gradient of images', 0.7",
    "'depthwise 3x3 s1, gradient of weights', 0.5",
    "'convolution 1x1 24 to 24 in 2 groups, gradient of weights', 0.4"
  })
  void reachTheirFloorAtWorst(String name, double floor) {
    assumeTrue(CudaBackend.obstacle().isEmpty(), CudaBackend::obstacle);
    List<KernelCase> cases =
        Stream.concat(
                MemoryCases.all(BYTES, Short.BYTES, false).stream(),
                ProductCases.all(false).stream())
            .filter(c -> c.name().equals(name))
            .toList();
    assertEquals(1, cases.size(), "cases named " + name);
    KernelCase c = cases.getFirst();
    CostModel model = CostModel.load();
    double high = 0;
    double low = 0;
    try (CudaBackend backend = Gpu.open(Precision.BF16)) {
      assumeTrue(CudaBackend.isSoftware(backend.device()), "plans are made on the software device");
      try (ParameterStore store = new ParameterStore(backend, c.graph().parameters());
          Program program = Program.compile(backend, c.graph(), store)) {
        for (Launch launch : program.launches()) {
          CostModel.Range range = model.range(launch);
          low += range.low();
          high += range.high();
        }
      }
    }
    double copy = c.bytes(Short.BYTES) / COPY;
    String said =
        "%s: %.3f to %.3f us, %.3f to %.3f of a copy"
            .formatted(name, low, high, copy / high, copy / low);
    assertTrue(copy / high >= floor, said);
  }
}
