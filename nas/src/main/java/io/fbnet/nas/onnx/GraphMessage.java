package io.fbnet.nas.onnx;

import io.fbnet.nas.file.ProtobufMessage;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;
import java.util.OptionalInt;

/**
 * A GraphProto of ONNX under construction. The numbers of fields and types are those of the public
 * {@code onnx.proto}; only the messages that inference graphs need are here.
 */
final class GraphMessage {
  /** What the first dimension of every input and output is called where it may have any length. */
  static final String BATCH = "batch";

  static final int FLOAT = 1;
  static final int UINT8 = 2;
  private static final int INT8 = 3;
  private static final int INT32 = 6;
  private static final int INT64 = 7;

  private static final int ATTRIBUTE_FLOAT = 1;
  private static final int ATTRIBUTE_INT = 2;
  private static final int ATTRIBUTE_INTS = 7;

  private final ProtobufMessage nodes = new ProtobufMessage();
  private final ProtobufMessage initializers = new ProtobufMessage();
  private final ProtobufMessage inputs = new ProtobufMessage();
  private final ProtobufMessage outputs = new ProtobufMessage();
  private final String name;
  private final OptionalInt batch;

  /** An empty graph, for batches of this length or, where it is empty, of any. */
  GraphMessage(String name, OptionalInt batch) {
    this.name = name;
    this.batch = batch;
  }

  /** A node without attributes yet; {@link #add} puts it into the graph. */
  static Node node(String name, String operation, List<String> inputs, String output) {
    ProtobufMessage message = new ProtobufMessage();
    inputs.forEach(input -> message.text(1, input));
    message.text(2, output).text(3, name).text(4, operation);
    return new Node(message);
  }

  /** A NodeProto, to which attributes are added in alphabetical order. */
  record Node(ProtobufMessage message) {
    Node with(String attribute, long value) {
      return with(new ProtobufMessage().text(1, attribute).integer(3, value), ATTRIBUTE_INT);
    }

    Node with(String attribute, float value) {
      return with(new ProtobufMessage().text(1, attribute).real(2, value), ATTRIBUTE_FLOAT);
    }

    Node with(String attribute, long[] values) {
      ProtobufMessage message = new ProtobufMessage().text(1, attribute);
      for (long value : values) {
        message.integer(8, value);
      }
      return with(message, ATTRIBUTE_INTS);
    }

    private Node with(ProtobufMessage attribute, int type) {
      message.message(5, attribute.integer(20, type));
      return this;
    }
  }

  /** Adds a node behind those that are there. */
  void add(Node node) {
    nodes.message(1, node.message());
  }

  /** Adds a constant tensor of floats. */
  void constant(String name, long[] shape, float[] values) {
    ByteBuffer raw =
        ByteBuffer.allocate(Math.multiplyExact(values.length, Float.BYTES))
            .order(ByteOrder.LITTLE_ENDIAN);
    raw.asFloatBuffer().put(values);
    constant(name, shape, FLOAT, raw.array());
  }

  /** Adds a constant vector of 64-bit integers. */
  void constant(String name, long[] values) {
    ByteBuffer raw = ByteBuffer.allocate(values.length * Long.BYTES).order(ByteOrder.LITTLE_ENDIAN);
    raw.asLongBuffer().put(values);
    constant(name, new long[] {values.length}, INT64, raw.array());
  }

  /** Adds a constant tensor of 8-bit integers; the array is not copied. */
  void constant(String name, long[] shape, byte[] values) {
    constant(name, shape, INT8, values);
  }

  /** Adds an unsigned 8-bit number, a tensor without dimensions. */
  void constant(String name, int value) {
    constant(name, new long[0], UINT8, new byte[] {(byte) value});
  }

  /** Adds a constant tensor of 32-bit integers. */
  void constant(String name, long[] shape, int[] values) {
    ByteBuffer raw =
        ByteBuffer.allocate(values.length * Integer.BYTES).order(ByteOrder.LITTLE_ENDIAN);
    raw.asIntBuffer().put(values);
    constant(name, shape, INT32, raw.array());
  }

  private void constant(String name, long[] shape, int type, byte[] raw) {
    ProtobufMessage tensor = new ProtobufMessage();
    for (long dimension : shape) {
      tensor.integer(1, dimension);
    }
    initializers.message(5, tensor.integer(2, type).text(8, name).bytes(9, raw));
  }

  /** Declares an input of floats or unsigned bytes, [batch, ...]. */
  void input(String name, long[] shape, int type) {
    inputs.message(11, images(name, shape, type));
  }

  /** Declares an output of floats or unsigned bytes, [batch, ...]. */
  void output(String name, long[] shape, int type) {
    outputs.message(12, images(name, shape, type));
  }

  private ProtobufMessage images(String name, long[] shape, int type) {
    ProtobufMessage first = new ProtobufMessage();
    batch.ifPresentOrElse(length -> first.integer(1, length), () -> first.text(2, BATCH));
    ProtobufMessage dimensions = new ProtobufMessage().message(1, first);
    for (int i = 1; i < shape.length; i++) {
      dimensions.message(1, new ProtobufMessage().integer(1, shape[i]));
    }
    ProtobufMessage tensor = new ProtobufMessage().integer(1, type).message(2, dimensions);
    return new ProtobufMessage().text(1, name).message(2, new ProtobufMessage().message(1, tensor));
  }

  /** The whole graph, with fields in the order of their numbers. */
  ProtobufMessage message() {
    return new ProtobufMessage()
        .append(nodes)
        .text(2, name)
        .append(initializers)
        .append(inputs)
        .append(outputs);
  }
}
