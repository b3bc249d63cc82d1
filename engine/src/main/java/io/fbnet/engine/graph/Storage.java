package io.fbnet.engine.graph;

/** Where a value lives. A value without a storage is an intermediate of one step. */
public sealed interface Storage {
  /**
   * Written by the caller before a step, in row-major order.
   *
   * @param name unique among the graph's inputs
   */
  record Input(String name) implements Storage {}

  /**
   * One scalar of the control block, which the caller may change before each step.
   *
   * @param name unique among the graph's controls
   */
  record Control(String name) implements Storage {}

  /**
   * A named tensor of a parameter set.
   *
   * @param set the parameter set
   * @param name of the tensor, unique in its set
   */
  record Parameter(String set, String name) implements Storage {}

  /**
   * The gradient of a named tensor of a parameter set.
   *
   * @param set the parameter set
   * @param name of the tensor, unique in its set
   */
  record Gradient(String set, String name) implements Storage {}

  /**
   * All of a set's tensors, or a buffer of the same layout beside them.
   *
   * @param set the parameter set
   * @param buffer {@link #VALUES}, {@link #GRADIENTS}, or a name of the caller's
   */
  record Flat(String set, String buffer) implements Storage {
    /** The tensors themselves. */
    public static final String VALUES = "values";

    /** Their gradients. */
    public static final String GRADIENTS = "gradients";
  }
}
