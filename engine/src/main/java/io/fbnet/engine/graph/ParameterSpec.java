package io.fbnet.engine.graph;

/**
 * A parameter as a graph declares it.
 *
 * @param set the parameter set it belongs to
 * @param name unique in its set
 * @param shape in the framework's usual order (OIHW for convolutions)
 * @param decayed whether weight decay applies to it
 * @param initial how it starts
 */
public record ParameterSpec(
    String set, String name, Shape shape, boolean decayed, Initial initial) {
  /** How a parameter starts. */
  public sealed interface Initial {
    /**
     * Every element the same.
     *
     * @param value of every element
     */
    record Constant(float value) implements Initial {}

    /**
     * Normal with mean 0 and the given standard deviation.
     *
     * @param deviation standard deviation
     */
    record Normal(double deviation) implements Initial {}
  }
}
