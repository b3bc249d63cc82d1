package io.fbnet.nas.strategy;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;

/** A controller whose state is JSON. */
abstract class JsonController implements Controller {
  private static final ObjectMapper JSON = new ObjectMapper();

  abstract ObjectNode tree();

  abstract void restore(JsonNode tree);

  @Override
  public final String state() {
    return tree().toString();
  }

  @Override
  public final void restore(String state) {
    JsonNode tree;
    try {
      tree = JSON.readTree(state);
    } catch (JsonProcessingException e) {
      throw new IllegalArgumentException("no state of a controller: it is no JSON", e);
    }
    restore(tree);
  }
}
