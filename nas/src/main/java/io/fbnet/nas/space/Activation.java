package io.fbnet.nas.space;

import io.fbnet.engine.graph.Op;
import io.fbnet.nas.file.Node;
import java.util.Arrays;
import java.util.Locale;

/** What follows a batch norm inside a network. */
public enum Activation {
  /** max(0, x), the paper's. */
  RELU(Op.Function.RELU),
  /** x sigmoid(x). */
  SWISH(Op.Function.SWISH),
  /** x times a sigmoid of straight lines: MobileNetV3's and FBNetV3's. */
  HSWISH(Op.Function.HARD_SWISH);

  private final Op.Function function;

  Activation(Op.Function function) {
    this.function = function;
  }

  /** {@return the engine's function} */
  public Op.Function function() {
    return function;
  }

  /** {@return how files and names of blocks call it} */
  @Override
  public String toString() {
    return name().toLowerCase(Locale.ROOT);
  }

  /**
   * Reads a name.
   *
   * @param name as {@link #toString} gives it
   * @return the activation
   * @throws IllegalArgumentException with a sentence to show, if it is none
   */
  public static Activation parse(String name) {
    return Arrays.stream(values())
        .filter(activation -> activation.toString().equals(name))
        .findFirst()
        .orElseThrow(
            () ->
                new IllegalArgumentException(
                    "must be relu, swish or hswish, but is '" + name + "'"));
  }

  /**
   * Reads a field of a file.
   *
   * @param node the field
   * @return the activation
   * @throws io.fbnet.nas.UserException (exit code 3) with file and line, if it is none
   */
  public static Activation parse(Node node) {
    try {
      return parse(node.text());
    } catch (IllegalArgumentException e) {
      throw node.wrong(e.getMessage());
    }
  }
}
