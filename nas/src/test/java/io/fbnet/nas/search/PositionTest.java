package io.fbnet.nas.search;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.nas.Refusals;
import io.fbnet.nas.run.Checkpoints;
import io.fbnet.nas.run.Manifest;
import java.nio.file.Path;
import java.util.List;
import java.util.TreeMap;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;

class PositionTest {
  private static final Position POSITION = new Position(3, Position.Phase.THETA, 5, 70, 8);

  private static Checkpoints.Found checkpoint(Consumer<ObjectNode> change) {
    ObjectNode state = POSITION.json();
    change.accept(state);
    Manifest manifest = new Manifest(78, 3, "theta", List.of(), new TreeMap<>(), "", state);
    return new Checkpoints.Found(Path.of("step-00000078"), manifest);
  }

  @Test
  void aCheckpointTellsWhereToGoOn() {
    assertEquals(POSITION, Position.of(checkpoint(state -> {})));
  }

  @Test
  void whatIsNoPositionIsRefusedByName() {
    refused(state -> state.put("phase", "EPOCH"), "'state.phase'");
    refused(state -> state.remove("phase"), "'state.phase'");
    refused(state -> state.put("epoch", -1), "'state.epoch'");
    refused(state -> state.put("epoch", 1L << 31), "'state.epoch'");
    refused(state -> state.put("batch", 0.5), "'state.batch'");
    refused(state -> state.put("weight_steps", "70"), "'state.weight_steps'");
    refused(state -> state.put("theta_steps", Long.MAX_VALUE), "'state.theta_steps'");
  }

  private static void refused(Consumer<ObjectNode> change, String word) {
    Refusals.data(
        () -> Position.of(checkpoint(change)), "step-00000078/manifest.json", word, "remove");
  }
}
