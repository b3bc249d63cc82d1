package io.fbnet.nas.search;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.backend.Communicator;
import io.fbnet.engine.cpu.CpuBackend;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.program.ThreadRanks;
import io.fbnet.engine.reference.ReferenceBackend;
import io.fbnet.nas.data.ClassBalance;
import io.fbnet.nas.data.DataSource;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.data.ImageSet;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.run.MetricsLog;
import io.fbnet.nas.run.RunFolder;
import io.fbnet.nas.space.SearchSpace;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Searches on images of which eight in ten are of one class. */
class UnevenSearchTest {
  private static final long SEED = 20261129L;
  private static final int BATCH = 8;
  private static final int IMAGES = 100;

  @TempDir private Path folder;

  /** What a search leaves: its log, and every value of each set. */
  private record Left(List<ObjectNode> lines, List<float[]> sets) {}

  private static ImageSet uneven(ImageSet set, Arena arena) {
    int count = Math.min(set.size(), IMAGES);
    int bytes = set.shape().elements();
    MemorySegment pixels = arena.allocate((long) count * bytes);
    int[] labels = new int[count];
    for (int i = 0; i < count; i++) {
      pixels.asSlice((long) i * bytes, bytes).copyFrom(set.image(i));
      labels[i] = Math.max(0, set.label(i) - 7);
    }
    return ImageSet.of(set.name(), set.shape(), pixels, labels, List.of("most", "few", "others"));
  }

  private static Dataset data() {
    try (Dataset even = DataSource.open(TinySearch.shapes())) {
      Arena arena = Arena.ofShared();
      return Dataset.of(
          "uneven", uneven(even.train(), arena), uneven(even.test(), arena), true, arena);
    }
  }

  private static SearchSettings settings(ClassBalance balance) {
    return SearchSettings.paper()
        .seed(SEED)
        .epochs(2)
        .warmupEpochs(0)
        .batch(BATCH)
        .rate(0.01)
        .thetaRate(0.05)
        .balance(balance)
        .sharedNorms(true)
        .build();
  }

  private Left search(
      Backend backend, SearchStrategy strategy, ClassBalance balance, String name, long... stops)
      throws IOException {
    SearchSpace space = TinySearch.space();
    Path root = folder.resolve(name);
    int rank = backend.communicator().rank();
    List<float[]> sets = new ArrayList<>();
    try (Dataset data = data()) {
      SearchSpace fitted = Search.fitted(space, data);
      LatencyTable table = TinySearch.table(fitted);
      for (int i = 0; i <= stops.length; i++) {
        long stop = i < stops.length ? stops[i] : Long.MAX_VALUE;
        try (RunFolder run =
                rank > 0
                    ? RunFolder.beside(root)
                    : i == 0 ? RunFolder.create(root) : RunFolder.open(root);
            Search search =
                new Search(
                    backend,
                    data,
                    fitted,
                    table,
                    TinySearch.budget(fitted, table),
                    settings(balance),
                    strategy)) {
          assertTrue(i == 0 || search.restore(run, warning -> {}));
          assertEquals(
              i == stops.length, search.run(run, new TinySearch.StopAfter(stop, 99)), name);
          sets.clear();
          for (String set : search.supernet().store().sets()) {
            sets.add(search.supernet().store().readAll(set, Storage.Flat.VALUES));
          }
          Files.writeString(root.resolve("config.yaml"), "");
        }
      }
    }
    return new Left(MetricsLog.read(root.resolve("metrics.jsonl")), sets);
  }

  static Stream<Arguments> balanced() {
    return Stream.of(
        Arguments.of(SearchStrategy.FBNET, ClassBalance.WEIGHTS),
        Arguments.of(SearchStrategy.FBNET, ClassBalance.SAMPLING),
        Arguments.of(SearchStrategy.DARTS2, ClassBalance.WEIGHTS),
        Arguments.of(SearchStrategy.singlePath(PathSampling.SANDWICH), ClassBalance.WEIGHTS));
  }

  @ParameterizedTest
  @MethodSource("balanced")
  void aBrokenSearchIsTheWholeOne(SearchStrategy strategy, ClassBalance balance)
      throws IOException {
    String what = strategy.name() + ", " + balance + ", seed " + SEED;
    try (Backend backend = CpuBackend.open(1)) {
      Left whole = search(backend, strategy, balance, "whole");
      Left broken = search(backend, strategy, balance, "broken", 3, 12);
      assertEquals(whole.lines(), broken.lines(), what);
      for (int s = 0; s < whole.sets().size(); s++) {
        assertArrayEquals(whole.sets().get(s), broken.sets().get(s), what);
      }
      Left plain = search(backend, strategy, ClassBalance.NONE, "plain");
      assertEquals(plain.lines().size(), whole.lines().size(), what);
      assertNotEquals(plain.lines(), whole.lines(), what);
      ObjectNode first = whole.lines().getFirst();
      ObjectNode other = plain.lines().getFirst();
      if (balance == ClassBalance.WEIGHTS) {
        // Before the first step nothing differs but the weights, and these are not told.
        assertEquals(other.path("accuracy"), first.path("accuracy"), what);
        assertNotEquals(other.path("loss"), first.path("loss"), what);
      }
    }
  }

  @Test
  void twoRanksDoWhatOneDoes() throws Exception {
    compare(SearchStrategy.FBNET, ClassBalance.WEIGHTS);
  }

  @Tag("full")
  @Test
  void soDoTheyByBalancedDraws() throws Exception {
    compare(SearchStrategy.FBNET, ClassBalance.SAMPLING);
  }

  @Tag("full")
  @Test
  void soDoTheyByPaths() throws Exception {
    compare(SearchStrategy.singlePath(PathSampling.SANDWICH), ClassBalance.WEIGHTS);
  }

  private void compare(SearchStrategy strategy, ClassBalance balance) throws Exception {
    String what = strategy.name() + ", " + balance + ", seed " + SEED;
    Left one;
    try (Backend backend = new ReferenceBackend(Communicator.alone())) {
      one = search(backend, strategy, balance, "one" + balance);
    }
    List<Left> two =
        ThreadRanks.run(
            2,
            r -> {
              try (Backend backend = new ReferenceBackend(r)) {
                return search(backend, strategy, balance, "two" + balance);
              }
            });
    assertEquals(one.lines().size(), two.getFirst().lines().size());
    for (int i = 0; i < one.lines().size(); i++) {
      for (String name : List.of("loss", "ce", "accuracy")) {
        double value = one.lines().get(i).path(name).asDouble();
        double found = two.getFirst().lines().get(i).path(name).asDouble();
        assertEquals(value, found, 2e-4 * Math.abs(value), what + ", " + name + " of line " + i);
      }
    }
    for (int s = 0; s < one.sets().size(); s++) {
      assertArrayEquals(two.get(0).sets().get(s), two.get(1).sets().get(s), what);
      RankSearchTest.assertNear(one.sets().get(s), two.get(0).sets().get(s), what + ", set " + s);
    }
  }
}
