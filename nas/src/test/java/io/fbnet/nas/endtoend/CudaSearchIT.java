package io.fbnet.nas.endtoend;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.cpu.CpuBackend;
import io.fbnet.engine.cuda.CudaBackend;
import io.fbnet.engine.cuda.CudaOptions;
import io.fbnet.engine.cuda.SoftwareCuda;
import io.fbnet.nas.budget.Budget;
import io.fbnet.nas.data.DataOptions;
import io.fbnet.nas.data.DataSource;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.data.ImageShape;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.network.SupernetGraphs.LossSettings;
import io.fbnet.nas.run.RunFolder;
import io.fbnet.nas.search.Search;
import io.fbnet.nas.search.SearchObserver;
import io.fbnet.nas.search.SearchSettings;
import io.fbnet.nas.space.SearchSpace;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * A short search on a GPU, or the software device, beside the same search on the CPU: real images,
 * sixteen w steps and four theta steps.
 */
class CudaSearchIT {
  private static final int STEPS = 20;
  private static final int BATCH = 48;
  private static final double TOLERANCE = 1e-4;
  private static final double THETA_RATE = 0.05;

  /**
   * A deep supernet is chaotic: on the space fashion, at the rate 0.02, one and two threads of the
   * CPU are 2e-4 apart after four steps. Few layers, larger batches and a small rate keep rounding
   * small, so that the tolerance is far below what an error of a kernel does.
   */
  private static final double RATE = 0.01;

  private static final double MOMENTUM = 0.5;
  private static final long SEED = 20260113L;

  @TempDir private Path folder;

  /** The losses in order, and theta in the end; ends early where {@code expected} is missed. */
  private static final class Run implements SearchObserver {
    final List<Double> losses = new ArrayList<>();
    double[][] theta;
    double worst;
    private final List<Double> expected;

    Run(List<Double> expected) {
      this.expected = expected;
    }

    @Override
    public void step(
        long done,
        long total,
        int epoch,
        String phase,
        double loss,
        double accuracy,
        double latencyMs) {
      losses.add(loss);
      if (expected != null) {
        double other = expected.get(losses.size() - 1);
        worst = Math.max(worst, Math.abs(loss - other) / Math.abs(other));
      }
    }

    @Override
    public boolean stopRequested() {
      return worst > TOLERANCE;
    }
  }

  private Run search(Backend backend, String name, List<Double> expected) throws IOException {
    Path file = folder.resolve("short.yaml");
    try (InputStream in = CudaSearchIT.class.getResourceAsStream("short.yaml")) {
      Files.copy(in, file, StandardCopyOption.REPLACE_EXISTING);
    }
    SearchSpace space = SearchSpace.load(file.toString());
    SearchSettings settings =
        SearchSettings.paper()
            .seed(SEED)
            .epochs(1)
            .warmupEpochs(0)
            .batch(BATCH)
            .trainImages(STEPS * BATCH)
            .rate(RATE)
            .thetaRate(THETA_RATE)
            .loss(new LossSettings(0.2, 0.6, false, false, false, MOMENTUM, 1e-4, 5e-4, true))
            .build();
    double[][] ms = new double[space.layerCount()][space.blocks().size()];
    for (int l = 0; l < ms.length; l++) {
      for (int k = 0; k < ms[l].length; k++) {
        ms[l][k] = 0.01 * (1 + (l + 3 * k) % 7);
      }
    }
    LatencyTable table =
        LatencyTable.builder("made up", space).fixed(0.1).layers(ms).relative(false).build();
    DataOptions options = DataOptions.of("fashion-mnist", new ImageShape(1, 28, 28));
    Run run = new Run(expected);
    try (Dataset data = DataSource.open(options);
        RunFolder out = RunFolder.create(folder.resolve(name));
        Search search = new Search(backend, data, space, table, Budget.NONE, settings)) {
      search.run(out, run);
      run.theta = search.supernet().theta().logits();
    }
    return run;
  }

  private static CudaBackend cuda(Path cache) {
    String obstacle = CudaBackend.obstacle();
    assumeTrue(obstacle.isEmpty(), obstacle);
    if (SoftwareCuda.present()) {
      SoftwareCuda.reset();
    }
    return CudaBackend.open(CudaOptions.DEFAULT, cache, note -> {});
  }

  /**
   * Whether candidates stand in the same order. Adam's first steps are all of nearly one length, so
   * values may tie: a pair counts where it is apart by more than a fiftieth of one step.
   */
  private static int sameOrder(double[] expected, double[] actual, String what) {
    int decided = 0;
    for (int i = 0; i < expected.length; i++) {
      for (int k = 0; k < expected.length; k++) {
        if (expected[i] - expected[k] > THETA_RATE / 50) {
          assertTrue(actual[i] > actual[k], what + ": " + i + " is not before " + k);
          decided++;
        }
      }
    }
    return decided;
  }

  @Test
  @Tag("full")
  void agreesWithTheCpu() throws IOException {
    assumeTrue(CpuBackend.availability().found(), CpuBackend.availability().remedy());
    Run cpu;
    try (Backend backend = CpuBackend.open(2)) {
      cpu = search(backend, "cpu", null);
    }
    assertEquals(STEPS, cpu.losses.size());
    Run cuda;
    try (Backend backend = cuda(folder)) {
      cuda = search(backend, "cuda", cpu.losses);
    }
    System.out.println(
        "20 steps: losses of cuda within " + cuda.worst + " of the CPU's, seed " + SEED);
    assertTrue(cuda.worst <= TOLERANCE, cpu.losses + " " + cuda.losses + ", seed " + SEED);
    assertEquals(STEPS, cuda.losses.size());
    int decided = 0;
    for (int l = 0; l < cpu.theta.length; l++) {
      decided += sameOrder(cpu.theta[l], cuda.theta[l], "theta of layer " + l + ", seed " + SEED);
    }
    int pairs = cpu.theta.length * cpu.theta[0].length * (cpu.theta[0].length - 1) / 2;
    assertTrue(decided > pairs / 2, decided + " of " + pairs + " pairs are apart");

    // The same comparison must notice a kernel that is a little wrong.
    assumeTrue(SoftwareCuda.present(), "errors can be planted in the software device alone");
    for (String kernel : List.of("bank_forward_f32", "batch_norm_backward_apply_f32")) {
      try (Backend backend = cuda(folder)) {
        SoftwareCuda.plant(kernel);
        Run wrong = search(backend, kernel, cpu.losses);
        System.out.println(kernel + " planted: " + wrong.worst + " after " + wrong.losses.size());
        assertTrue(wrong.worst > TOLERANCE, kernel + " was planted and not noticed, seed " + SEED);
      }
    }
  }
}
