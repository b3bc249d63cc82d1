package io.fbnet.engine.plan;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.engine.plan.MemoryPlan.Lifetime;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.Combinators;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;

/** The plan of random lifetimes, judged step by step: which bytes are taken at each moment. */
class MemoryPlanTest {
  private static final int STEPS = 30;

  @Provide
  Arbitrary<List<Lifetime>> lifetimes() {
    Arbitrary<Long> sizes =
        Arbitraries.oneOf(
            Arbitraries.longs().between(0, 600),
            Arbitraries.longs().between(0, 40).map(n -> n * MemoryPlan.ALIGNMENT));
    Arbitrary<Lifetime> lifetime =
        Combinators.combine(
                Arbitraries.integers().between(0, STEPS - 1),
                Arbitraries.integers().between(0, STEPS - 1),
                sizes)
            .as((a, b, bytes) -> new Lifetime(Math.min(a, b), Math.max(a, b), bytes));
    return lifetime.list().ofMaxSize(40);
  }

  /** At every step the bytes of the buffers alive are marked; none may be marked twice. */
  private static void requireDisjoint(List<Lifetime> lifetimes, MemoryPlan plan) {
    for (int step = 0; step < STEPS; step++) {
      BitSet taken = new BitSet();
      for (int i = 0; i < lifetimes.size(); i++) {
        Lifetime l = lifetimes.get(i);
        if (l.first() <= step && step <= l.last() && l.bytes() > 0) {
          int from = Math.toIntExact(plan.offset(i));
          int to = Math.toIntExact(plan.offset(i) + l.bytes());
          int clash = taken.nextSetBit(from);
          assertTrue(clash < 0 || clash >= to, "byte " + clash + " twice at step " + step);
          taken.set(from, to);
        }
      }
    }
  }

  @Property(tries = 300)
  void buffersAliveTogetherAreDisjoint(@ForAll("lifetimes") List<Lifetime> lifetimes) {
    requireDisjoint(lifetimes, MemoryPlan.of(lifetimes));
  }

  @Property(tries = 300)
  void offsetsAreAlignedAndWithinTheArena(@ForAll("lifetimes") List<Lifetime> lifetimes) {
    MemoryPlan plan = MemoryPlan.of(lifetimes);
    for (int i = 0; i < lifetimes.size(); i++) {
      assertEquals(0, plan.offset(i) % MemoryPlan.ALIGNMENT);
      assertTrue(plan.offset(i) + lifetimes.get(i).bytes() <= plan.bytes());
    }
  }

  @Property(tries = 300)
  void takesAtMostTheSumAndAtLeastTheBusiestStep(@ForAll("lifetimes") List<Lifetime> lifetimes) {
    MemoryPlan plan = MemoryPlan.of(lifetimes);
    assertTrue(plan.bytes() <= plan.naiveBytes());
    for (int step = 0; step < STEPS; step++) {
      int at = step;
      long alive =
          lifetimes.stream()
              .filter(l -> l.first() <= at && at <= l.last())
              .mapToLong(Lifetime::bytes)
              .sum();
      assertTrue(plan.bytes() >= alive);
    }
  }

  @Property(tries = 300)
  void sameLifetimesGetTheSamePlaces(@ForAll("lifetimes") List<Lifetime> lifetimes) {
    MemoryPlan one = MemoryPlan.of(lifetimes);
    MemoryPlan other = MemoryPlan.of(new ArrayList<>(lifetimes));
    assertEquals(one.bytes(), other.bytes());
    for (int i = 0; i < lifetimes.size(); i++) {
      assertEquals(one.offset(i), other.offset(i));
    }
  }

  @Example
  void buffersThatNeverMeetShareOnePlace() {
    List<Lifetime> chain = new ArrayList<>();
    for (int i = 0; i < 10; i++) {
      chain.add(new Lifetime(i, i, 1000));
    }
    MemoryPlan plan = MemoryPlan.of(chain);
    assertEquals(1024, plan.bytes());
    assertEquals(10 * 1024, plan.naiveBytes());
  }

  @Example
  void aLifetimeThatEndsBeforeItBeginsIsRefused() {
    assertThrows(IllegalArgumentException.class, () -> new Lifetime(3, 2, 1));
    assertThrows(IllegalArgumentException.class, () -> new Lifetime(0, 0, -1));
  }
}
