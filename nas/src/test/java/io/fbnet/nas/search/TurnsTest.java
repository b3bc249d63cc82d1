package io.fbnet.nas.search;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.EnumMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class TurnsTest {
  /** The kinds of an epoch's steps, its first half alone where it has halves, and their tau. */
  private static String course(Turns turns, boolean theta) {
    StringBuilder kinds = new StringBuilder();
    Position position = new Position(2, Position.Phase.WEIGHTS, 0, 20, 10);
    Map<Position.Phase, Integer> done = new EnumMap<>(Position.Phase.class);
    while (!turns.over(position)) {
      Position.Phase phase = position.phase();
      int before = done.merge(phase, 1, Integer::sum) - 1;
      assertEquals(before, turns.done(position), kinds::toString);
      kinds.append(phase.name().charAt(0));
      position = turns.after(position, theta);
      assertEquals(30 + kinds.length(), position.steps());
      assertTrue(kinds.length() < 100);
    }
    assertEquals(Position.Phase.WEIGHTS, position.phase());
    assertEquals(turns.weightSteps(), done.get(Position.Phase.WEIGHTS));
    if (turns.every() > 0 && theta) {
      assertEquals(turns.thetaSteps(), done.get(Position.Phase.THETA));
    }
    return kinds.toString();
  }

  @ParameterizedTest
  @CsvSource({
    "0, 5, true, WWWWW",
    "2, 6, true, WWTWWTWWT",
    "2, 5, true, WWTWWTWT",
    "2, 1, true, WT",
    "3, 7, true, WWWTWWWTWT",
    "1, 3, true, WTWTWT",
    "2, 5, false, WWWWW",
  })
  void thetaTakesAStepAfterSomeOfW(int every, int weightSteps, boolean theta, String kinds) {
    assertEquals(kinds, course(new Turns(every, weightSteps, 4), theta));
  }

  @Test
  void anEpochWithHalvesHasThetasOwnNumberOfSteps() {
    Turns turns = new Turns(2, 9, 4).halves();
    assertEquals(4, turns.thetaSteps());
    Position theta = new Position(2, Position.Phase.THETA, 3, 20, 10);
    assertEquals(3, turns.done(theta));
    assertEquals(4, turns.steps(theta));
    assertTrue(turns.over(turns.after(theta, true)));
  }
}
