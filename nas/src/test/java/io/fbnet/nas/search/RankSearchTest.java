package io.fbnet.nas.search;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.backend.Communicator;
import io.fbnet.engine.backend.Precision;
import io.fbnet.engine.cpu.CpuBackend;
import io.fbnet.engine.cuda.CudaBackend;
import io.fbnet.engine.cuda.CudaOptions;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.program.ThreadRanks;
import io.fbnet.engine.reference.ReferenceBackend;
import io.fbnet.nas.ExitCode;
import io.fbnet.nas.UserException;
import io.fbnet.nas.data.DataOptions;
import io.fbnet.nas.data.DataSource;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.network.SupernetGraphs.LossSettings;
import io.fbnet.nas.run.MetricsLog;
import io.fbnet.nas.run.RunFolder;
import io.fbnet.nas.space.SearchSpace;
import io.fbnet.nas.train.RankShare;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** A search whose batch several ranks share. */
class RankSearchTest {
  private static final long SEED = 20261128L;
  private static final int BATCH = 8;

  @TempDir private Path folder;

  /** What a search leaves: its log, and every value of each set. */
  private record Left(List<ObjectNode> lines, List<float[]> sets) {}

  static Stream<SearchStrategy> others() {
    return Stream.of(
        SearchStrategy.DARTS,
        SearchStrategy.DARTS2,
        SearchStrategy.GDAS,
        SearchStrategy.TF_NAS,
        SearchStrategy.singlePath(PathSampling.SANDWICH));
  }

  private static SearchSettings settings(int batches, boolean sharedNorms) {
    LossSettings paper = LossSettings.PAPER;
    return SearchSettings.paper()
        .seed(SEED)
        .epochs(2)
        .warmupEpochs(0)
        .batch(BATCH)
        .trainImages(batches * BATCH)
        .rate(0.01)
        .thetaRate(0.05)
        // Noise of each image is that of its place in the whole batch.
        .loss(
            new LossSettings(
                paper.alpha(),
                paper.beta(),
                false,
                true,
                false,
                paper.momentum(),
                paper.weightDecay(),
                paper.thetaWeightDecay(),
                true))
        .sharedNorms(sharedNorms)
        .build();
  }

  private Backend open(String device, Communicator ranks) {
    return switch (device) {
      case "cpu" -> CpuBackend.open(1, Precision.F32, ranks);
      case "cuda" ->
          CudaBackend.open(
              new CudaOptions(Precision.F32, true, true, true), folder, note -> {}, ranks);
      default -> new ReferenceBackend(ranks);
    };
  }

  private Left search(
      String device,
      SearchStrategy strategy,
      int batches,
      String name,
      boolean norms,
      Communicator ranks)
      throws IOException {
    return search(device, strategy, batches, name, norms, ranks, TinySearch.shapes());
  }

  private Left search(
      String device,
      SearchStrategy strategy,
      int batches,
      String name,
      boolean norms,
      Communicator ranks,
      DataOptions images)
      throws IOException {
    SearchSpace space = TinySearch.space();
    LatencyTable table = TinySearch.table(space);
    Path root = folder.resolve(name);
    try (RunFolder run = ranks.rank() == 0 ? RunFolder.create(root) : RunFolder.beside(root);
        Backend backend = open(device, ranks);
        Dataset data = DataSource.open(images);
        Search search =
            new Search(
                backend,
                data,
                space,
                table,
                TinySearch.budget(space, table),
                settings(batches, norms),
                strategy)) {
      assertTrue(search.run(run, new TinySearch.StopAfter(Long.MAX_VALUE, Integer.MAX_VALUE)));
      List<float[]> sets = new ArrayList<>();
      for (String set : search.supernet().store().sets()) {
        sets.add(search.supernet().store().readAll(set, Storage.Flat.VALUES));
      }
      return new Left(MetricsLog.read(run.metrics()), sets);
    }
  }

  @Test
  void twoRanksWithSharedNormsDoWhatOneDoes() throws Exception {
    compare("reference", SearchStrategy.FBNET, 5);
  }

  @Tag("full")
  @Test
  void soDoTheyOnGpus() throws Exception {
    assumeTrue(CudaBackend.obstacle().isEmpty(), CudaBackend.obstacle());
    compare("cuda", SearchStrategy.FBNET, 5);
  }

  @Tag("full")
  @Test
  void soDoTheyByPaths() throws Exception {
    compare("reference", SearchStrategy.singlePath(PathSampling.FAIR), 5);
  }

  @Tag("full")
  @ParameterizedTest
  @MethodSource("others")
  void soDoTheyByOtherStrategies(SearchStrategy strategy) throws Exception {
    compare("reference", strategy, 10);
  }

  /** Two epochs of so many batches of both kinds. */
  private void compare(String device, SearchStrategy strategy, int batches) throws Exception {
    Left one = search(device, strategy, batches, "one", true, Communicator.alone());
    List<Left> two = ThreadRanks.run(2, r -> search(device, strategy, batches, "two", true, r));
    assertEquals(one.lines().size(), two.getFirst().lines().size());
    for (int i = 0; i < one.lines().size(); i++) {
      ObjectNode expected = one.lines().get(i);
      ObjectNode found = two.getFirst().lines().get(i);
      for (String name : List.of("loss", "ce", "accuracy", "latency_ms", "spent_macs")) {
        double value = expected.path(name).asDouble();
        assertEquals(value, found.path(name).asDouble(), 2e-4 * Math.abs(value), name + i);
      }
    }
    for (int s = 0; s < one.sets().size(); s++) {
      float[] expected = one.sets().get(s);
      assertArrayEquals(two.get(0).sets().get(s), two.get(1).sets().get(s), "set " + s);
      float[] found = two.get(0).sets().get(s);
      assertNear(expected, found, "set " + s);
    }
  }

  /** What ranks end with, within rounding: two parts in ten thousand of the whole. */
  static void assertNear(float[] expected, float[] found, String what) {
    double error = 0;
    double norm = 0;
    for (int i = 0; i < expected.length; i++) {
      error += Math.pow(expected[i] - found[i], 2);
      norm += Math.pow(expected[i], 2);
    }
    assertTrue(Math.sqrt(error) <= 2e-4 * Math.sqrt(norm), what + ": " + error);
  }

  @Test
  void ranksWithNormsOfTheirOwnStayEqualAndRepeatThemselves() throws Exception {
    List<Left> ends =
        ThreadRanks.run(2, r -> search("cpu", SearchStrategy.FBNET, 5, "a", false, r));
    List<Left> again =
        ThreadRanks.run(2, r -> search("cpu", SearchStrategy.FBNET, 5, "b", false, r));
    for (List<Left> each : List.of(ends, again)) {
      for (Left left : each) {
        for (int s = 0; s < left.sets().size(); s++) {
          assertArrayEquals(ends.getFirst().sets().get(s), left.sets().get(s));
        }
      }
    }
    assertEquals(ends.getFirst().lines(), again.getFirst().lines());
  }

  @Test
  void aBatchThatRanksCannotShareIsRefused() throws Exception {
    UserException refused =
        assertThrows(
            UserException.class,
            () ->
                ThreadRanks.run(
                    3, r -> search("reference", SearchStrategy.FBNET, 5, "c", true, r)));
    assertTrue(
        refused.getMessage().startsWith("--batch 8 cannot be shared by 3"), refused::getMessage);
  }

  @Test
  void ranksThatReadOtherImagesAreRefused() {
    UserException refused =
        assertThrows(
            UserException.class,
            () ->
                ThreadRanks.run(
                    2,
                    r ->
                        search(
                            "reference",
                            SearchStrategy.FBNET,
                            5,
                            "d",
                            false,
                            r,
                            TinySearch.shapes().withSeed(1 + r.rank()))));
    assertEquals(ExitCode.DATA_OR_CONFIGURATION, refused.exitCode());
    assertTrue(
        refused.getMessage().startsWith("rank 1 reads other images than rank 0"),
        refused::getMessage);
  }

  @Test
  void whatRankZeroCannotWriteEndsAll() throws Exception {
    List<UserException> ends =
        ThreadRanks.run(
            2,
            r -> {
              RankShare share = new RankShare(new ReferenceBackend(r), BATCH, false);
              List<Integer> wrote = new ArrayList<>();
              share.write(() -> wrote.add(r.rank()));
              assertEquals(r.rank() == 0 ? List.of(0) : List.of(), wrote);
              return assertThrows(
                  UserException.class,
                  () ->
                      share.write(
                          () -> {
                            throw new UserException(ExitCode.STORAGE, "the disk is full");
                          }));
            });
    assertEquals(ExitCode.STORAGE, ends.getFirst().exitCode());
    assertEquals("the disk is full", ends.getFirst().getMessage());
    assertEquals(ExitCode.RANKS, ends.getLast().exitCode());
    assertEquals("rank 0 could not write: the disk is full", ends.getLast().getMessage());
  }
}
