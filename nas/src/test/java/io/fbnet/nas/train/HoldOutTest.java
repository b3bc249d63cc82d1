package io.fbnet.nas.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.nas.data.Augmentation;
import io.fbnet.nas.data.ClassBalance;
import io.fbnet.nas.data.ImageSet;
import io.fbnet.nas.data.ImageShape;
import io.fbnet.nas.data.Splits;
import io.fbnet.nas.search.SearchSettings;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** Nothing is trained on images that chose it, whatever a training draws from its own seed. */
class HoldOutTest {
  private static final long SEED = 20261128L;

  private static ImageSet images(int count) {
    Random random = new Random(SEED);
    return ImageSet.of(
        "test",
        new ImageShape(1, 1, 1),
        MemorySegment.ofArray(new byte[count]),
        random.ints(count, 0, 3).toArray(),
        List.of("a", "b", "c"));
  }

  private static Recipe recipe(long seed, int count, HoldOut holdOut) {
    RateSchedule schedule = new RateSchedule(RateSchedule.Kind.COSINE, 0.1, 1, 0, List.of(), 0.1);
    Augmentation augmentation = Augmentation.none();
    return new Recipe(
        seed, 8, 1, count, holdOut, schedule, 0.9, 0, 0, ClassBalance.NONE, 0, augmentation, false);
  }

  @Test
  void whatTrainedThetaTrainsNoChild() {
    ImageSet set = images(500);
    for (double share : new double[] {0.8, 0.7, 0.55}) {
      for (int limit : new int[] {0, 200}) {
        SearchSettings search =
            SearchSettings.paper().seed(3).trainImages(limit).weightShare(share).build();
        Splits division = Splits.split(set, share, 3, limit);
        for (long seed : new long[] {3, 4}) {
          for (int count : new int[] {0, 50, 200, 300, 10_000}) {
            Recipe recipe = recipe(seed, count, search.heldOut());
            assertArrayEquals(division.second(), recipe.heldOut(set));
            int[] trained = recipe.trained(set);
            Set<Integer> theta =
                Arrays.stream(division.second()).boxed().collect(Collectors.toSet());
            assertFalse(Arrays.stream(trained).anyMatch(theta::contains), share + ", " + count);
            int others = 500 - theta.size();
            if (count == limit) {
              assertArrayEquals(division.first(), trained);
            } else {
              assertEquals(count == 0 ? others : Math.min(count, others), trained.length);
            }
          }
        }
      }
    }
  }

  @Test
  void withoutAShareItIsASubsetOfEveryClass() {
    ImageSet set = images(500);
    Recipe some = recipe(1, 60, new HoldOut(0, 7, 60));
    assertEquals(0, some.heldOut(set).length);
    assertArrayEquals(Splits.subset(set, 60, 7), some.trained(set));
    assertTrue(
        IntStream.range(0, 3)
            .allMatch(c -> Arrays.stream(some.trained(set)).anyMatch(i -> set.label(i) == c)));
    assertArrayEquals(
        IntStream.range(0, 500).toArray(), recipe(1, 0, new HoldOut(0, 7, 0)).trained(set));
  }
}
