package io.fbnet.nas.onnx;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.ParameterSpec;
import io.fbnet.nas.UserException;
import io.fbnet.nas.data.Normalisation;
import io.fbnet.nas.file.AtomicFile;
import io.fbnet.nas.file.ProtobufMessage;
import io.fbnet.nas.model.TrainedNetwork;
import io.fbnet.nas.network.ArchitectureGraphs;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Collections;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * Writes graphs for inference as ONNX files: opset 17, f32 or rounded to int8, and a first
 * dimension called {@code batch} that may have any length, or one that is fixed. Equal graphs,
 * numbers and options give equal bytes. {@code docs/formats.md} describes the files.
 */
public final class OnnxExport {
  /** The version of the operators' definitions that the files ask for. */
  public static final int OPSET = 17;

  /** The version of the file format that came with that opset. */
  private static final int IR_VERSION = 8;

  private static final String PRODUCER = "fbnet-engine";

  /** The longest message that protobuf allows. */
  private static final long MOST_BYTES = Integer.MAX_VALUE;

  private OnnxExport() {}

  /**
   * How to export.
   *
   * @param name of the graph
   * @param foldBatchNorm whether a batch norm is merged into the convolution before it, where it is
   *     that convolution's only reader
   * @param normalisation of every input, from pixels between 0 and 1; empty where the inputs come
   *     normalised
   * @param quantisation which values of the graph are kept in eight bits, with all weights that
   *     multiply them; empty to keep everything in f32
   * @param batch the length of every input's and output's first dimension, so that all shapes in
   *     the file are numbers; empty where it may have any
   * @param metadata properties of the file, written in the order of their keys
   */
  public record Options(
      String name,
      boolean foldBatchNorm,
      Optional<Normalisation> normalisation,
      Optional<Quantisation> quantisation,
      OptionalInt batch,
      SortedMap<String, String> metadata) {
    /** Copies the map. */
    public Options {
      if (batch.isPresent() && batch.getAsInt() < 1) {
        throw new IllegalArgumentException("a batch of " + batch.getAsInt());
      }
      metadata = Collections.unmodifiableSortedMap(new TreeMap<>(metadata));
    }
  }

  /**
   * Writes a graph. Its inputs keep their names and must be f32 of one batch; its outputs keep
   * theirs.
   *
   * @param graph of nothing but convolutions, batch norms for inference, sums, channel shuffles,
   *     global pooling and linear layers
   * @param values of every parameter that the graph reads
   * @param options how to export
   * @param target the file, replaced where it exists; missing folders are made
   * @throws UserException (exit code 3) where an operation has no translation or the file would be
   *     larger than ONNX allows, (exit code 5) where it cannot be written
   */
  public static void write(Graph graph, ParameterValues values, Options options, Path target) {
    requireSize(graph);
    ProtobufMessage model =
        new ProtobufMessage()
            .integer(1, IR_VERSION)
            .text(2, PRODUCER)
            .text(3, version())
            .message(7, GraphTranslation.of(graph, values, options))
            .message(8, new ProtobufMessage().text(1, "").integer(2, OPSET));
    options
        .metadata()
        .forEach(
            (key, value) -> model.message(14, new ProtobufMessage().text(1, key).text(2, value)));
    try {
      AtomicFile.write(target, model::writeTo);
    } catch (IOException e) {
      throw AtomicFile.unwritable(target, e);
    }
  }

  /**
   * Writes a network: input {@code images} [batch, channels, height, width], output {@code logits}
   * [batch, classes].
   *
   * @param network the network
   * @param foldBatchNorm see {@link Options#foldBatchNorm}
   * @param normalise whether the file takes pixels between 0 and 1 and normalises them itself;
   *     otherwise it takes them normalised by the mean and std of its metadata
   * @param batch see {@link Options#batch}
   * @param target the file, replaced where it exists; missing folders are made
   * @throws UserException (exit code 3) where an operation of one of its blocks has no translation
   *     or the file would be larger than ONNX allows, (exit code 5) where it cannot be written
   */
  public static void write(
      TrainedNetwork network,
      boolean foldBatchNorm,
      boolean normalise,
      OptionalInt batch,
      Path target) {
    Options options =
        new Options(
            name(network),
            foldBatchNorm,
            normalise ? Optional.of(network.normalisation()) : Optional.empty(),
            Optional.empty(),
            batch,
            metadata(network, normalise));
    Graph graph = ArchitectureGraphs.inference(network.architecture(), 1);
    write(graph, (set, tensor) -> network.tensors().get(tensor), options, target);
  }

  /**
   * Writes a network in eight bits: weights symmetric and by channel, all values but the logits by
   * the ranges that calibration found; inputs and outputs stay f32. Batch norms are merged.
   *
   * @param network the network
   * @param graph the network's, of {@link Calibration#graph}
   * @param quantisation of its values
   * @param normalise see {@link #write(TrainedNetwork, boolean, boolean, OptionalInt, Path)}
   * @param batch see {@link Options#batch}
   * @param properties further ones of the file
   * @param target the file, replaced where it exists; missing folders are made
   * @throws UserException as above
   */
  public static void writeInt8(
      TrainedNetwork network,
      Graph graph,
      Quantisation quantisation,
      boolean normalise,
      OptionalInt batch,
      Map<String, String> properties,
      Path target) {
    SortedMap<String, String> metadata = metadata(network, normalise);
    metadata.putAll(properties);
    Options options =
        new Options(
            name(network),
            true,
            normalise ? Optional.of(network.normalisation()) : Optional.empty(),
            Optional.of(quantisation),
            batch,
            metadata);
    write(graph, (set, tensor) -> network.tensors().get(tensor), options, target);
  }

  private static String name(TrainedNetwork network) {
    String name = network.architecture().name();
    return name.isEmpty() ? network.architecture().space().name() : name;
  }

  private static void requireSize(Graph graph) {
    long bytes = 0;
    for (ParameterSpec spec : graph.parameters()) {
      bytes += spec.shape().elements() * Float.BYTES;
    }
    // Names, shapes and nodes take a few hundred bytes a parameter.
    if (bytes + 1024L * graph.parameters().size() + (1 << 20) > MOST_BYTES) {
      throw UserException.data(
          "the parameters take %d bytes, more than the 2 GiB of an ONNX file", bytes);
    }
  }

  /** Unpackaged classes, as tests run them, know no version. */
  private static String version() {
    String version = OnnxExport.class.getPackage().getImplementationVersion();
    return version == null ? "unpackaged" : version;
  }

  private static SortedMap<String, String> metadata(TrainedNetwork network, boolean normalise) {
    SortedMap<String, String> metadata = new TreeMap<>();
    metadata.put("architecture", network.architecture().json().toString());
    ArrayNode classes = JsonNodeFactory.instance.arrayNode();
    network.classes().forEach(classes::add);
    metadata.put("classes", classes.toString());
    metadata.put("input", normalise ? "0..1" : "normalised");
    metadata.put("mean", Normalisation.json(network.normalisation().mean()));
    metadata.put("std", Normalisation.json(network.normalisation().std()));
    if (!network.data().isEmpty()) {
      metadata.put("data", network.data());
    }
    network
        .latency()
        .ifPresent(
            latency -> {
              metadata.put("latency_device", latency.device());
              metadata.put("latency_ms", Double.toString(latency.ms()));
              metadata.put("latency_table", latency.table());
            });
    network
        .testAccuracy()
        .ifPresent(accuracy -> metadata.put("test_accuracy", Double.toString(accuracy)));
    return metadata;
  }
}
