package io.fbnet.engine.cpu;

import io.fbnet.engine.backend.GraphCompiler;
import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.backend.RankMeans;
import io.fbnet.engine.backend.Step;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.graph.Value;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.Stream;

/**
 * Chooses layouts and prepares kernels. Images lie in blocks of channels, except inputs, and images
 * made of bytes, that only a convolution over few channels reads: padding those to a block would
 * multiply its work.
 */
final class CpuCompiler implements GraphCompiler {
  /** Up to this many channels oneDNN has kernels that read row-major images. */
  private static final int FEW_CHANNELS = 3;

  private final Graph graph;
  private final CpuContext context;

  CpuCompiler(CpuBackend backend, Graph graph, boolean fixedParameters) {
    this.graph = graph;
    context = new CpuContext(backend, plainImages(graph), fixedParameters, graph.batch());
  }

  private static Set<Value> plainImages(Graph graph) {
    Set<Value> plain = new HashSet<>();
    Set<Value> made = new HashSet<>();
    Set<Value> needsBlocks = new HashSet<>();
    for (Op op : graph.ops()) {
      switch (op) {
        case Op.NormaliseImages p -> {
          plain.add(p.pixels());
          made.add(p.y());
        }
        case Op.Convolution c when c.groups() == 1 && few(c.x()) -> {}
        case Op.ConvolutionBackwardWeights c -> {
          plain.add(c.dw());
          needsBlocks.add(c.dy());
          if (c.groups() > 1 || !few(c.x())) {
            needsBlocks.add(c.x());
          }
        }
        case Op.Sum s when plain.containsAll(s.xs()) -> plain.add(s.y());
        default -> needsBlocks.addAll(op.inputs());
      }
    }
    made.removeAll(needsBlocks);
    plain.addAll(made);
    for (Map.Entry<Value, Storage> entry : graph.storage().entrySet()) {
      boolean input = entry.getValue() instanceof Storage.Input;
      if (!input || !needsBlocks.contains(entry.getKey())) {
        plain.add(entry.getKey());
      }
    }
    return plain;
  }

  private static boolean few(Value images) {
    return images.shape().get(1) <= FEW_CHANNELS;
  }

  /** Whether a value is images in blocks of channels. */
  boolean blocked(Value value) {
    return context.blocked(value);
  }

  @Override
  public long bytes(Value value) {
    return blocked(value)
        ? context.layout(value).bytes()
        : value.shape().elements() * value.type().bytes();
  }

  @Override
  public List<List<Step>> steps(List<List<Op>> sections, Set<Value> inMemory) {
    Set<Value> kept = new HashSet<>(graph.storage().keySet());
    kept.addAll(graph.outputs().values());
    kept.addAll(inMemory);
    boolean divided = graph.batch() >= context.team.threads();
    List<List<Step>> steps = new ArrayList<>();
    long most = 0;
    for (List<Stage> stages : Stages.of(sections, kept, this::byImage, divided)) {
      List<Step> ofSection = new ArrayList<>();
      for (Stage stage : stages) {
        if (stage.byImage()) {
          StageKernel.Layout layout = StageKernel.Layout.of(context, stage);
          most = Math.max(most, layout.plan().bytes());
          ofSection.add(step(stage, memory -> new StageKernel(context, stage, layout, memory)));
        } else {
          ofSection.add(step(stage, memory -> prepare(stage.parts().getFirst().op(), memory)));
        }
      }
      steps.add(ofSection);
    }
    for (int t = 0; t < context.team.threads(); t++) {
      context.reserve(StageKernel.slot(t), most);
    }
    return steps;
  }

  private static Step step(Stage stage, Function<Function<Value, MemorySegment>, Kernel> kernel) {
    return new Step(stage.inputs(), stage.outputs(), kernel);
  }

  /**
   * Whether an operation treats images, one by one: all do that read or write them in blocks, and
   * the one that makes them of bytes.
   */
  private boolean byImage(Op op) {
    return op instanceof Op.NormaliseImages
        || !(op instanceof Op.AllFinite || op instanceof Op.MeanOverRanks)
            && Stream.concat(op.inputs().stream(), op.outputs().stream()).anyMatch(this::blocked);
  }

  @Override
  public Kernel prepare(Op op, Function<Value, MemorySegment> memory) {
    return switch (op) {
      case Op.Sum s -> CpuMix.plainSum(s, memory);
      case Op.Linear l -> CpuLinear.forward(context, l, memory);
      case Op.LinearBackwardData l -> CpuLinear.backwardData(context, l, memory);
      case Op.LinearBackwardWeights l -> CpuLinear.backwardWeights(context, l, memory);
      case Op.MeanOverRanks means ->
          RankMeans.kernel(
              context.backend.communicator(),
              means.xs().stream().map(memory).toList(),
              means.ys().stream().map(memory).toList(),
              Float.BYTES);
      case Op.AllFinite f -> CpuUpdates.allFinite(context, f, memory);
      case Op.SgdUpdate s -> CpuUpdates.sgd(context, s, memory);
      case Op.Blend b -> CpuUpdates.blend(context, b, memory);
      case Op.AdamUpdate a -> CpuUpdates.adam(a, memory);
      case Op.WeightedSum w ->
          throw new IllegalArgumentException(
              String.format(
                  Locale.ROOT,
                  "the cpu back end has %s for images only, not for %s",
                  op.name(),
                  w.y()));
      default -> CpuVectors.prepare(op, memory);
    };
  }

  @Override
  public void upload(Value value, MemorySegment host, MemorySegment device) {
    if (blocked(value)) {
      context.layout(value).pack(host, device);
    } else {
      MemorySegment.copy(host, 0, device, 0, bytes(value));
    }
  }

  @Override
  public void download(Value value, MemorySegment device, MemorySegment host) {
    if (blocked(value)) {
      context.layout(value).unpack(device, host);
    } else {
      MemorySegment.copy(device, 0, host, 0, bytes(value));
    }
  }

  @Override
  public long workspaceBytes() {
    return context.ownedBytes();
  }

  @Override
  public List<String> slowKernels() {
    return List.copyOf(context.slowKernels());
  }

  @Override
  public void close() {
    context.close();
  }
}
