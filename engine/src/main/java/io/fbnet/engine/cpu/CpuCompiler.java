package io.fbnet.engine.cpu;

import io.fbnet.engine.backend.GraphCompiler;
import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.graph.Value;
import java.lang.foreign.MemorySegment;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.Stream;

/**
 * Chooses layouts and prepares kernels. Images lie in blocks of channels, except inputs that only a
 * convolution over few channels reads: padding those to a block would multiply its work.
 */
final class CpuCompiler implements GraphCompiler {
  /** Up to this many channels oneDNN has kernels that read row-major images. */
  private static final int FEW_CHANNELS = 3;

  private final CpuContext context;

  CpuCompiler(CpuBackend backend, Graph graph, boolean fixedParameters) {
    context = new CpuContext(backend, plainImages(graph), fixedParameters, graph.batch());
  }

  private static Set<Value> plainImages(Graph graph) {
    Set<Value> plain = new HashSet<>();
    Set<Value> needsBlocks = new HashSet<>();
    for (Op op : graph.ops()) {
      switch (op) {
        case Op.Convolution c when c.groups() == 1 && few(c.x()) -> {}
        case Op.ConvolutionBackwardWeights c when c.groups() == 1 && few(c.x()) ->
            plain.add(c.dw());
        case Op.ConvolutionBackwardWeights c -> {
          plain.add(c.dw());
          needsBlocks.add(c.x());
        }
        case Op.Sum s when plain.containsAll(s.xs()) -> plain.add(s.y());
        default -> needsBlocks.addAll(op.inputs());
      }
    }
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

  private boolean blocked(Value value) {
    return value.shape().rank() == 4 && !context.plain(value);
  }

  @Override
  public long bytes(Value value) {
    return blocked(value)
        ? context.layout(value).bytes()
        : value.shape().elements() * value.type().bytes();
  }

  @Override
  public Kernel prepare(Op op, Function<Value, MemorySegment> memory) {
    return switch (op) {
      case Op.Convolution c -> CpuConvolution.forward(context, c, memory);
      case Op.ConvolutionBackwardData c -> CpuConvolution.backwardData(context, c, memory);
      case Op.ConvolutionBackwardWeights c -> CpuConvolution.backwardWeights(context, c, memory);
      case Op.BatchNorm bn -> CpuNorm.forward(context, bn, memory);
      case Op.BatchNormInference bn -> CpuNorm.inference(context, bn, memory);
      case Op.BatchNormBackward bn -> CpuNorm.backward(context, bn, memory);
      case Op.Sum s -> CpuMix.sum(context, s, memory);
      case Op.WeightedSum w -> {
        requireImages(op, w.y());
        yield CpuMix.weightedSum(context, w, memory);
      }
      case Op.WeightedSumBackwardInput w -> CpuMix.backwardInput(context, w, memory);
      case Op.WeightedSumBackwardCoefficients w -> CpuMix.backwardCoefficients(context, w, memory);
      case Op.ChannelShuffle s -> CpuImages.channelShuffle(context, s, memory);
      case Op.GlobalPool p -> CpuImages.globalPool(context, p, memory);
      case Op.GlobalPoolBackward p -> CpuImages.globalPoolBackward(context, p, memory);
      case Op.Linear l -> CpuLinear.forward(context, l, memory);
      case Op.LinearBackwardData l -> CpuLinear.backwardData(context, l, memory);
      case Op.LinearBackwardWeights l -> CpuLinear.backwardWeights(context, l, memory);
      case Op.AllFinite f -> CpuUpdates.allFinite(context, f, memory);
      case Op.SgdUpdate s -> CpuUpdates.sgd(context, s, memory);
      case Op.Blend b -> CpuUpdates.blend(context, b, memory);
      case Op.AdamUpdate a -> CpuUpdates.adam(a, memory);
      default -> {
        requireVectors(op);
        yield CpuVectors.prepare(op, memory);
      }
    };
  }

  private static void requireImages(Op op, Value y) {
    if (y.shape().rank() != 4) {
      throw new IllegalArgumentException(
          "the cpu back end has %s for images only, not for %s".formatted(op.name(), y));
    }
  }

  /** Loops over plain numbers would take a block's empty lanes for values. */
  private void requireVectors(Op op) {
    Stream.concat(op.inputs().stream(), op.outputs().stream())
        .filter(this::blocked)
        .findFirst()
        .ifPresent(
            image -> {
              throw new IllegalArgumentException(
                  "the cpu back end has no %s for images such as %s".formatted(op.name(), image));
            });
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
