package io.fbnet.engine.program;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.fbnet.engine.backend.Precision;
import io.fbnet.engine.cuda.CudaBackend;
import io.fbnet.engine.cuda.CudaOptions;
import io.fbnet.engine.cuda.NcclAlone;
import io.fbnet.foreign.Nccl;
import java.util.List;
import org.junit.jupiter.api.Test;

/** NCCL's own calls within a captured step, on whatever device is there, a real one too. */
class NcclOfOneTest {
  private static final int STEPS = 4;

  private static RanksTest.End train(boolean nccl) {
    CudaOptions sameBits = new CudaOptions(Precision.F32, true, true, true);
    try (CudaBackend backend = Devices.cuda(sameBits)) {
      if (nccl) {
        assumeTrue(Nccl.availability().found(), () -> Nccl.availability().remedy());
        NcclAlone.join(backend);
      }
      return RanksTest.train(backend, true, false, STEPS, 0, step -> {});
    }
  }

  @Test
  void aMeanOverOneRankChangesNoBit() {
    RanksTest.assertEqualBits(List.of(train(false), train(true)));
  }
}
