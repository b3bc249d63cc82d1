package io.fbnet.nas.kit;

import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import io.fbnet.nas.ExitCode;
import io.fbnet.nas.UserException;
import io.fbnet.nas.file.AtomicFile;
import io.fbnet.nas.file.Folder;
import io.fbnet.nas.file.ResourceText;
import io.fbnet.nas.kit.KitManifest.Part;
import io.fbnet.nas.latency.SpaceKey;
import io.fbnet.nas.measure.LatencyMeter.Progress;
import io.fbnet.nas.measure.Work;
import io.fbnet.nas.network.ArchitectureGraphs;
import io.fbnet.nas.onnx.OnnxExport;
import io.fbnet.nas.onnx.Quantisation;
import io.fbnet.nas.space.Block;
import io.fbnet.nas.space.LayerSpec;
import io.fbnet.nas.space.SearchSpace;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.TreeMap;

/**
 * Writes a folder from which any device with ONNX Runtime can be timed: one ONNX file for each
 * distinct block, stem, head and an empty call, a manifest, and a runner in Python. Batch norms are
 * folded into the convolutions before them, as in a network that is put to use.
 */
public final class Kit {
  static final String RUNNER = "run.py";
  static final String F32 = "f32";
  static final String INT8 = "int8";

  private final Path folder;
  private final SearchSpace space;
  private final int batch;
  private final boolean int8;
  private final List<KitManifest.Entry> entries = new ArrayList<>();

  private Kit(Path folder, SearchSpace space, int batch, boolean int8) {
    this.folder = folder;
    this.space = space;
    this.batch = batch;
    this.int8 = int8;
  }

  /**
   * Writes a kit.
   *
   * @param batch images a run
   * @param int8 whether networks are timed in eight bits, as {@link OnnxExport#writeInt8} has them;
   *     what goes from one block to the next is bytes then
   * @param folder made if missing; must be empty
   * @return how many ONNX files it holds
   */
  public static int write(
      SearchSpace space, int batch, boolean int8, Path folder, Progress progress) {
    requireEmpty(folder);
    return new Kit(folder, space, batch, int8).write(progress);
  }

  private static void requireEmpty(Path folder) {
    if (Files.isDirectory(folder)) {
      try {
        if (Folder.entries(folder).isEmpty()) {
          return;
        }
      } catch (IOException e) {
        throw AtomicFile.unwritable(folder, e);
      }
      throw new UserException(
          ExitCode.STORAGE,
          String.format(Locale.ROOT, "the folder %s is not empty: choose another", folder));
    }
    if (Files.exists(folder)) {
      throw new UserException(
          ExitCode.STORAGE,
          String.format(Locale.ROOT, "%s is a file, not a folder: choose another", folder));
    }
  }

  private int write(Progress progress) {
    Map<Work, List<LayerSpec>> blocks = new LinkedHashMap<>();
    for (LayerSpec layer : space.layers()) {
      for (Block block : space.blocks()) {
        if (!Work.none(layer, block)) {
          blocks.computeIfAbsent(Work.of(layer, block), work -> new ArrayList<>()).add(layer);
        }
      }
    }
    int total = blocks.size() + 3;
    add("call.onnx", Part.CALL, "", List.of(), call());
    add("stem.onnx", Part.STEM, "", List.of(), ArchitectureGraphs.stem(space, batch));
    for (Map.Entry<Work, List<LayerSpec>> entry : blocks.entrySet()) {
      Block block = space.blocks().get(space.blockNames().indexOf(entry.getKey().block()));
      LayerSpec first = entry.getValue().getFirst();
      add(
          first.name().toLowerCase(Locale.ROOT) + "_" + block.name() + ".onnx",
          Part.BLOCK,
          block.name(),
          entry.getValue().stream().map(LayerSpec::index).toList(),
          ArchitectureGraphs.block(space, first, block, batch));
      progress.at(entries.size(), total, "writing the kit");
    }
    add("head.onnx", Part.HEAD, "", List.of(), ArchitectureGraphs.head(space, batch));
    AtomicFile.writeText(folder.resolve(RUNNER), runner());
    // The manifest comes last: a folder without it was never finished.
    new KitManifest(SpaceKey.of(space), batch, int8 ? INT8 : F32, Protocol.DEFAULT, entries)
        .write(folder);
    progress.at(total, total, "writing the kit");
    return entries.size();
  }

  /** One trivial operation: its time is what a call of the run time costs. */
  private Graph call() {
    GraphBuilder b = new GraphBuilder();
    Value x = b.input("x", Type.F32, batch, 1, 1, 1);
    b.output("y", b.sum(List.of(x, x)));
    return b.build();
  }

  private void add(String name, Part part, String block, List<Integer> layers, Graph graph) {
    Path file = folder.resolve(name);
    // A call computes nothing, so it has nothing to round.
    Optional<Quantisation> quantisation =
        int8 && part != Part.CALL ? Optional.of(Quantisation.assumed(graph)) : Optional.empty();
    export(graph, quantisation, file);
    boolean integers = false;
    String input = "";
    List<Integer> shape = new ArrayList<>();
    for (Map.Entry<Value, Storage> entry : graph.storage().entrySet()) {
      if (entry.getValue() instanceof Storage.Input found) {
        input = found.name();
        integers = quantisation.filter(q -> q.integers().contains(entry.getKey())).isPresent();
        for (int axis = 0; axis < entry.getKey().shape().rank(); axis++) {
          shape.add(entry.getKey().shape().get(axis));
        }
      }
    }
    try {
      entries.add(
          new KitManifest.Entry(
              name, Files.size(file), Hash.of(file), part, block, layers, input, shape, integers));
    } catch (IOException e) {
      throw AtomicFile.unwritable(file, e);
    }
  }

  /** Writes a network as it is timed: numbers drawn, batch norms folded. */
  static void export(Graph graph, boolean int8, Path file) {
    export(graph, int8 ? Optional.of(Quantisation.assumed(graph)) : Optional.empty(), file);
  }

  private static void export(Graph graph, Optional<Quantisation> quantisation, Path file) {
    String name = file.getFileName().toString().replace(".onnx", "");
    OnnxExport.write(
        graph,
        FreshValues.of(graph),
        new OnnxExport.Options(
            name, true, Optional.empty(), quantisation, OptionalInt.empty(), new TreeMap<>()),
        file);
  }

  static String runner() {
    return ResourceText.of(Kit.class, RUNNER);
  }
}
