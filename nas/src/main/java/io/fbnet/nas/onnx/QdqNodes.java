package io.fbnet.nas.onnx;

import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * The nodes by which ONNX says that a value is kept in eight bits: QuantizeLinear, and
 * DequantizeLinear before whatever reads it. A run time that knows integers makes one operation of
 * an operation and the nodes around it; any other computes with rounded floats. Values are unsigned
 * and weights signed: ONNX Runtime multiplies these at once by x86's instructions for dot products.
 * Where values are signed it makes them unsigned, and leaves those in floats that two nodes read.
 */
final class QdqNodes {
  private static final String QUANTIZE = "QuantizeLinear";
  private static final String DEQUANTIZE = "DequantizeLinear";

  private final GraphMessage target;
  private final Names names;
  private final Names nodeNames;

  /** Scale and zero point of a range by name, once each. */
  private final Map<Range, List<String>> constants = new HashMap<>();

  QdqNodes(GraphMessage target, Names names, Names nodeNames) {
    this.target = target;
    this.names = names;
    this.nodeNames = nodeNames;
  }

  /** Rounds floats to unsigned bytes of this name. */
  void quantise(String floats, Range range, String integers) {
    add(QUANTIZE, floats, constants(range, floats), integers);
  }

  /** Gives unsigned bytes back as floats, whose name is returned. */
  String dequantise(String integers, Range range, String name) {
    String floats = names.fresh(name + ".rounded");
    add(DEQUANTIZE, integers, constants(range, name), floats);
    return floats;
  }

  /** Rounds floats: to unsigned bytes, and back to floats, whose name is returned. */
  String round(String floats, Range range) {
    String integers = names.fresh(floats + ".uint8");
    quantise(floats, range, integers);
    return dequantise(integers, range, floats);
  }

  /** The names of weights and biases (one name where there are none) as floats. */
  List<String> parameters(String layer, long[] shape, Int8Weights parameters) {
    long[] channels = {parameters.scales().length};
    String weights = names.fresh(layer + ".weight");
    target.constant(weights, shape, parameters.weights());
    List<String> weightConstants = channelwise(weights, channels, parameters.scales());
    target.constant(weightConstants.getLast(), channels, new byte[parameters.scales().length]);
    String floats = perChannel(weights, weightConstants);
    if (parameters.biases().length == 0) {
      return List.of(floats);
    }
    String bias = names.fresh(layer + ".bias");
    target.constant(bias, channels, parameters.biases());
    List<String> biasConstants = channelwise(bias, channels, parameters.biasScales());
    target.constant(biasConstants.getLast(), channels, new int[parameters.biases().length]);
    return List.of(floats, perChannel(bias, biasConstants));
  }

  private List<String> channelwise(String name, long[] channels, float[] scales) {
    String scale = names.fresh(name + ".scale");
    target.constant(scale, channels, scales);
    return List.of(scale, names.fresh(name + ".zero"));
  }

  private String perChannel(String integers, List<String> constants) {
    String floats = names.fresh(integers + ".rounded");
    String node = nodeNames.fresh(floats);
    target.add(
        GraphMessage.node(
                node,
                DEQUANTIZE,
                List.of(integers, constants.getFirst(), constants.getLast()),
                floats)
            .with("axis", 0));
    return floats;
  }

  private List<String> constants(Range range, String name) {
    return constants.computeIfAbsent(
        range,
        key -> {
          String scale = names.fresh(name + ".scale");
          String zero = names.fresh(name + ".zero");
          target.constant(scale, new long[0], new float[] {key.scale()});
          target.constant(zero, key.zeroPoint());
          return List.of(scale, zero);
        });
  }

  private void add(String operation, String from, List<String> constants, String to) {
    target.add(
        GraphMessage.node(
            nodeNames.fresh(to),
            operation,
            List.of(from, constants.getFirst(), constants.getLast()),
            to));
  }
}
