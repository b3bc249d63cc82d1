package io.fbnet.engine.cuda;

import io.fbnet.engine.backend.GraphCompiler;
import io.fbnet.engine.backend.HostMemory;
import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.backend.Launch;
import io.fbnet.engine.backend.Readback;
import io.fbnet.engine.backend.Step;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Value;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.Stream;

/** Prepares kernels. Images lie channels-last without padding, everything else row-major. */
final class CudaCompiler implements GraphCompiler {
  private final CudaBackend backend;
  private final Graph graph;
  private final boolean fixedParameters;
  private final CudaContext context;
  private final CudaReadbacks readbacks;
  private final Map<Value, CudaUploads> uploads = new HashMap<>();
  private final Map<Value, Rows> downloads = new HashMap<>();
  private Kernel begin = () -> {};

  /** Makes the copies of weights. */
  private Kernel pack = () -> {};

  private int firstCalls;
  private List<Kernel> step = List.of();
  private CudaTimer timer;

  /**
   * Holds no kernels yet.
   *
   * @param fixedParameters whether copies of weights are made in the first run alone
   */
  CudaCompiler(CudaBackend backend, Graph graph, boolean fixedParameters) {
    this.backend = backend;
    this.graph = graph;
    this.fixedParameters = fixedParameters;
    context = new CudaContext(backend, graph.ops(), graph.storage());
    if (normsOverRanks() || graph.ops().stream().anyMatch(Op.MeanOverRanks.class::isInstance)) {
      backend.guard(backend.ranks()::join);
    }
    readbacks = new CudaReadbacks(backend);
    CudaConvolution.reserve(context, graph.ops());
  }

  /** Whether batch norms of the step are over the images of several ranks. */
  boolean normsOverRanks() {
    return graph.ops().stream()
        .anyMatch(op -> op instanceof Op.BatchNorm n && RankNorm.exchanges(context, n.overRanks()));
  }

  @Override
  public long bytes(Value value) {
    return context.bytes(value);
  }

  @Override
  public List<List<Step>> steps(List<List<Op>> sections, Set<Value> kept) {
    List<List<Step>> steps =
        backend.options().fused()
            ? new CudaFusion(this, graph, sections, kept).steps()
            : GraphCompiler.super.steps(sections, kept);
    if (!backend.ranks().onDevice()) {
      return steps;
    }
    EarlyExchanges early = new EarlyExchanges(graph, context);
    return steps.stream().map(early::among).toList();
  }

  CudaContext context() {
    return context;
  }

  /** A step of one kernel, prepared with the device's errors told as ours. */
  Step step(
      List<Value> inputs,
      List<Value> outputs,
      Function<Function<Value, MemorySegment>, Kernel> kernel) {
    return new Step(inputs, outputs, memory -> backend.guarded(() -> kernel.apply(memory)));
  }

  @Override
  public Kernel prepare(Op op, Function<Value, MemorySegment> memory) {
    return backend.guarded(() -> kernel(op, memory));
  }

  private Kernel kernel(Op op, Function<Value, MemorySegment> memory) {
    return switch (op) {
      case Op.NormaliseImages p -> CudaPixels.normalise(context, p, memory);
      case Op.Convolution c -> CudaConvolution.forward(context, c, null, memory);
      case Op.ConvolutionBackwardData c -> CudaConvolution.backwardData(context, c, memory);
      case Op.ConvolutionBackwardWeights c ->
          CudaConvolution.backwardWeights(context, c, null, memory);
      case Op.BatchNorm bn -> CudaNorm.forward(context, bn, memory);
      case Op.BatchNormApply bn -> CudaNorm.apply(context, bn, memory);
      case Op.BatchNormInference bn -> CudaNorm.inference(context, bn, memory);
      case Op.BatchNormBackward bn -> CudaNorm.backward(context, bn, null, memory);
      case Op.Sum s -> CudaMix.sum(context, s, memory);
      case Op.WeightedSum w -> CudaMix.weightedSum(context, w, memory);
      case Op.WeightedSumBackwardInput w -> CudaMix.backwardInput(context, w, memory);
      case Op.WeightedSumBackwardCoefficients w -> CudaMix.backwardCoefficients(context, w, memory);
      case Op.ChannelShuffle s -> CudaMix.channelShuffle(context, s, memory);
      case Op.GlobalPool p -> CudaMix.globalPool(context, p, memory);
      case Op.GlobalPoolBackward p -> CudaMix.globalPoolBackward(context, p, memory);
      case Op.Pointwise p when context.image(p.x()) -> CudaActivations.forward(context, p, memory);
      case Op.PointwiseBackward p when context.image(p.x()) ->
          CudaActivations.backward(context, p, memory);
      case Op.ScaleChannels s -> CudaActivations.scaleChannels(context, s, memory);
      case Op.ScaleChannelsBackwardFactors s -> CudaActivations.backwardFactors(context, s, memory);
      case Op.MeanOverRanks means -> new CudaRankMeans(context, means, memory);
      case Op.AllFinite f -> CudaUpdates.allFinite(context, f, memory);
      case Op.SgdUpdate s -> update(s, CudaUpdates.sgd(context, s, memory));
      case Op.Blend b -> update(b, CudaUpdates.blend(context, b, memory));
      case Op.AdamUpdate a -> update(a, CudaUpdates.adam(context, a, memory));
      default -> {
        requireVectors(op);
        Kernel kernel = CudaVectors.prepare(context, op, memory);
        if (kernel == null) {
          throw new IllegalArgumentException("the cuda back end has no " + op.name());
        }
        yield kernel;
      }
    };
  }

  /** An update, and behind it new copies of weights where something in its phase reads them. */
  private Kernel update(Op update, Kernel kernel) {
    boolean read =
        graph.ops().stream()
            .dropWhile(op -> !op.equals(update))
            .skip(1)
            .takeWhile(op -> !(op instanceof Op.Phase))
            .anyMatch(
                op ->
                    op instanceof Op.Convolution
                        || op instanceof Op.ConvolutionBackwardData
                        || op instanceof Op.Linear
                        || op instanceof Op.LinearBackwardData);
    return read ? CudaContext.sequence(kernel, () -> pack.launch()) : kernel;
  }

  /** Kernels for vectors know neither the images' order nor their type. */
  private void requireVectors(Op op) {
    Stream.concat(op.inputs().stream(), op.outputs().stream())
        .filter(context::image)
        .findFirst()
        .ifPresent(
            image -> {
              throw new IllegalArgumentException(
                  String.format(
                      Locale.ROOT,
                      "the cuda back end has no %s for images such as %s",
                      op.name(),
                      image));
            });
  }

  @Override
  public List<Kernel> whole(List<List<Kernel>> sections) {
    Kernel made = backend.guarded(context.packed()::kernel);
    pack = made == null ? () -> {} : made;
    List<Kernel> result = new ArrayList<>();
    for (List<Kernel> kernels : sections) {
      List<Kernel> all = new ArrayList<>(kernels);
      Kernel first = () -> {};
      if (result.isEmpty() && made != null && fixedParameters) {
        begin = pack;
        first = pack;
        firstCalls = 1;
      } else if (result.isEmpty() && made != null) {
        all.addFirst(pack);
      }
      step = all;
      // A section may be part of what another one does.
      result.add(all.isEmpty() ? first : captured(first, all));
    }
    return result;
  }

  /** The kernels as one, captured in the parts between those that need the host. */
  private Kernel captured(Kernel first, List<Kernel> all) {
    List<Kernel> parts = new ArrayList<>();
    List<Kernel> part = new ArrayList<>();
    Kernel before = first;
    List<Kernel> single =
        all.stream().flatMap(kernel -> CudaContext.parts(kernel).stream()).toList();
    for (Kernel kernel : single) {
      if (kernel.needsHost()) {
        parts.add(new CapturedStep(backend, before, part));
        parts.add(() -> backend.guard(kernel::launch));
        part = new ArrayList<>();
        before = () -> {};
      } else {
        part.add(kernel);
      }
    }
    parts.add(new CapturedStep(backend, before, part));
    return parts.size() == 1 ? parts.getFirst() : new InTurn(parts);
  }

  private record InTurn(List<Kernel> parts) implements Kernel {
    @Override
    public void launch() {
      parts.forEach(Kernel::launch);
    }

    @Override
    public void close() {
      parts.forEach(Kernel::close);
    }
  }

  @Override
  public void upload(Value value, MemorySegment host, MemorySegment device) {
    backend.guard(() -> uploads(value, device).write(host));
  }

  @Override
  public void uploadLent(Value value, MemorySegment host, MemorySegment device) {
    HostMemory.requireNative(host);
    backend.guard(() -> uploads(value, device).lend(host));
  }

  private CudaUploads uploads(Value value, MemorySegment device) {
    return uploads.computeIfAbsent(value, v -> new CudaUploads(context, v, device));
  }

  @Override
  public void download(Value value, MemorySegment device, MemorySegment host) {
    long n = value.shape().elements();
    backend.guard(
        () -> {
          MemorySegment rows = device;
          if (context.image(value)) {
            Rows made = downloads.computeIfAbsent(value, v -> rows(v, device));
            made.fill().launch();
            rows = made.memory();
          }
          backend.ranks().await(backend.stream());
          backend.stream().copyToHost(host, rows, n * Float.BYTES);
          backend.stream().synchronise();
        });
  }

  /** Images in row-major f32, and the kernel that puts them there. */
  private record Rows(MemorySegment memory, Kernel fill) {}

  private Rows rows(Value images, MemorySegment device) {
    MemorySegment memory = context.own(images.shape().elements() * Float.BYTES);
    return new Rows(memory, context.reorder("images_to_rows", images, device, memory));
  }

  @Override
  public Readback read(List<Value> values, Function<Value, MemorySegment> memory) {
    if (values.stream().anyMatch(context::image)) {
      return GraphCompiler.super.read(values, memory);
    }
    return backend.guarded(() -> readbacks.begin(values, memory));
  }

  @Override
  public double[] time(List<Kernel> kernels, int passes) {
    return backend.guarded(
        () -> {
          if (timer == null) {
            begin.launch();
            timer = new CudaTimer(backend, step);
          }
          return timer.samples(passes);
        });
  }

  @Override
  public List<Launch> launches() {
    List<Launch> launches = context.launches();
    return launches.subList(0, launches.size() - firstCalls);
  }

  @Override
  public long workspaceBytes() {
    return context.ownedBytes()
        + uploads.values().stream().mapToLong(CudaUploads::deviceBytes).sum();
  }

  @Override
  public void close() {
    // Nothing may still run on what is given back below.
    backend.closing(() -> backend.ranks().settle(backend.copies(), backend.stream()));
    if (timer != null) {
      timer.close();
    }
    uploads.values().forEach(CudaUploads::close);
    uploads.clear();
    readbacks.close();
    context.close();
  }
}
