package io.fbnet.engine.cuda;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.backend.Communicator;
import io.fbnet.engine.backend.Confinement;
import io.fbnet.engine.backend.ControlBlock;
import io.fbnet.engine.backend.DeviceFailure;
import io.fbnet.engine.backend.GraphCompiler;
import io.fbnet.engine.backend.HostMemory;
import io.fbnet.engine.backend.OutOfDeviceMemory;
import io.fbnet.engine.backend.Precision;
import io.fbnet.engine.graph.Graph;
import io.fbnet.foreign.Availability;
import io.fbnet.foreign.CublasLt;
import io.fbnet.foreign.Cuda;
import io.fbnet.foreign.CudaDevice;
import io.fbnet.foreign.CudaDevice.Attribute;
import io.fbnet.foreign.CudaStream;
import io.fbnet.foreign.Cudnn;
import io.fbnet.foreign.CudnnConvolution;
import io.fbnet.foreign.CudnnConvolution.Direction;
import io.fbnet.foreign.CudnnConvolution.Sizes;
import io.fbnet.foreign.ForeignException;
import io.fbnet.foreign.Nccl;
import io.fbnet.foreign.Nvrtc;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.NavigableMap;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.function.Supplier;
import java.util.stream.Stream;

/**
 * A CUDA GPU: cuBLASLt for products, cuDNN for dense convolutions, our own kernels for the rest.
 * Work is enqueued on one stream and a second one copies inputs; the host waits only where it reads
 * something back.
 */
public final class CudaBackend implements Backend {
  private static final long MOST_CONVOLUTION_WORKSPACE = 256L << 20;

  /** Compute capability, times ten, of the first devices that multiply bf16. */
  private static final int LEAST_FOR_BF16 = 80;

  private static final String SOFTWARE = "Software CUDA device";

  private final CudaDevice device;
  private final CudaOptions options;
  private final KernelLibrary kernels;
  private final Consumer<String> notes;
  private final NavigableMap<Long, MemorySegment> allocations = new TreeMap<>();
  private final Map<Plan, CudnnConvolution> plans = new HashMap<>();
  private CudaStream stream;
  private CudaStream copies;
  private Cudnn cudnn;
  private CublasLt cublas;
  private boolean lost;
  private boolean saidLibraryOnly;
  private Exception closeFailure;
  private final Confinement confinement = new Confinement("cuda");
  private final Communicator communicator;
  private final CudaRanks ranks;

  private record Plan(Direction direction, Sizes sizes) {}

  private CudaBackend(
      CudaDevice device,
      CudaOptions options,
      Path cache,
      Consumer<String> notes,
      Communicator communicator) {
    this.device = device;
    this.communicator = communicator;
    ranks = new CudaRanks(communicator, device, notes);
    this.options = options;
    this.notes = notes;
    kernels = new KernelLibrary(device, cache, notes);
  }

  /**
   * {@return the libraries of this back end: driver, cuBLASLt and cuDNN, which it needs; NVRTC and
   * NCCL, which it may need}
   */
  public static List<Availability> libraries() {
    return Stream.concat(needed().stream(), Stream.of(Nvrtc.availability(), Nccl.availability()))
        .toList();
  }

  private static List<Availability> needed() {
    return List.of(Cuda.availability(), CublasLt.availability(), Cudnn.availability());
  }

  /**
   * {@return why no GPU can be used here; empty where one can, as far as libraries and devices
   * tell}
   */
  public static String obstacle() {
    for (Availability library : needed()) {
      if (!library.found()) {
        return library.library() + " was not found: " + library.remedy();
      }
    }
    try {
      return CudaDevice.count() == 0 ? "the driver sees no GPU" : "";
    } catch (ForeignException e) {
      return "the driver does not work: " + e.getMessage();
    }
  }

  /**
   * {@return whether a device is the stand-in of the tests, which is no GPU}
   *
   * @param device its name, as {@link #device} begins
   */
  public static boolean isSoftware(String device) {
    return device.startsWith(SOFTWARE);
  }

  /**
   * {@return the first device that the driver shows, opened (CUDA_VISIBLE_DEVICES chooses)}
   *
   * @param options how it works
   * @param cache a folder where compiled kernels may be kept
   * @param notes told what a person should know, such as that kernels are compiled here
   * @throws IllegalStateException where a library is missing
   * @throws DeviceFailure where the device does not answer
   */
  public static CudaBackend open(CudaOptions options, Path cache, Consumer<String> notes) {
    return open(options, cache, notes, Communicator.alone());
  }

  /**
   * {@return the device of one of several ranks, opened: the ranks of a machine take the devices
   * that the driver shows in turn}
   *
   * @param options how it works
   * @param cache a folder where compiled kernels may be kept
   * @param notes told what a person should know, such as that kernels are compiled here
   * @param ranks whose means its operations take; to be closed by the caller, after this
   * @throws IllegalStateException where a library is missing
   * @throws DeviceFailure where the device does not answer
   */
  public static CudaBackend open(
      CudaOptions options, Path cache, Consumer<String> notes, Communicator ranks) {
    int number = 0;
    CudaBackend backend;
    try {
      number = ranks.localRank() % Math.max(1, CudaDevice.count());
      backend = new CudaBackend(CudaDevice.open(number), options, cache, notes, ranks);
    } catch (ForeignException e) {
      throw new DeviceFailure("GPU " + number, false, e);
    }
    try {
      backend.guarded(
          () -> {
            backend.stream = CudaStream.create();
            backend.copies = CudaStream.create();
            backend.cudnn = Cudnn.open(backend.stream);
            backend.cublas = CublasLt.open();
            return null;
          });
      return backend;
    } catch (RuntimeException e) {
      backend.closeAfter(e);
      throw e;
    }
  }

  private void closeAfter(RuntimeException first) {
    try {
      close();
    } catch (DeviceFailure e) {
      first.addSuppressed(e);
    }
  }

  CudaStream stream() {
    return stream;
  }

  CudaStream copies() {
    return copies;
  }

  /** The other ranks, and waits of the host for what may wait for them. */
  CudaRanks ranks() {
    return ranks;
  }

  /** cuDNN's way to compute a convolution, chosen once a shape; it lives as long as the device. */
  CudnnConvolution plan(Direction direction, Sizes sizes) {
    return plans.computeIfAbsent(
        new Plan(direction, sizes),
        plan ->
            new CudnnConvolution(
                cudnn,
                direction,
                sizes,
                options.precision() != Precision.F32,
                options.deterministic(),
                MOST_CONVOLUTION_WORKSPACE));
  }

  CublasLt cublas() {
    return cublas;
  }

  CudaOptions options() {
    return options;
  }

  KernelLibrary kernels() {
    return kernels;
  }

  CudaDevice cudaDevice() {
    return device;
  }

  /** Whether kernels of ours can multiply bf16 on tensor cores; said once where they cannot. */
  boolean multipliesBf16() {
    int capability = device.computeCapability();
    if (capability < LEAST_FOR_BF16 && !saidLibraryOnly) {
      saidLibraryOnly = true;
      note(
          String.format(
              Locale.ROOT,
              "this device has compute capability %.1f, and our own products need 8.0: cuBLASLt"
                  + " computes 1x1 convolutions, with passes of their own for the norms beside"
                  + " them, and depthwise ones go without tensor cores",
              capability / 10.0));
    }
    return capability >= LEAST_FOR_BF16;
  }

  int multiprocessors() {
    return device.attribute(Attribute.MULTIPROCESSOR_COUNT);
  }

  /**
   * Runs calls of the driver and its libraries, and turns their errors into the engine's.
   *
   * @throws OutOfDeviceMemory where memory was short
   * @throws DeviceFailure for every other error
   */
  <T> T guarded(Supplier<T> calls) {
    return guarded(0, calls);
  }

  private <T> T guarded(long asked, Supplier<T> calls) {
    ranks.require();
    try {
      return calls.get();
    } catch (ForeignException e) {
      if (e.function().equals("cuMemHostAlloc")) {
        throw OutOfDeviceMemory.pageLocked(asked, e);
      }
      if (CudaDevice.isOutOfMemory(e)) {
        throw new OutOfDeviceMemory(asked, freeMemory(), device.name(), e);
      }
      ForeignException cause = driversView(e);
      lost |= CudaDevice.isLost(cause);
      if (CudaRanks.isOurs(e) && !lost) {
        throw ranks.failed(e);
      }
      throw new DeviceFailure(device.name(), lost, cause);
    }
  }

  /** A library only says that its work failed; whether the device is lost, the driver knows. */
  private ForeignException driversView(ForeignException e) {
    if (CudaDevice.isLost(e)) {
      return e;
    }
    try {
      ranks.askDevice(stream);
      return e;
    } catch (ForeignException sticky) {
      if (!CudaDevice.isLost(sticky)) {
        return e;
      }
      sticky.addSuppressed(e);
      return sticky;
    }
  }

  /** A void form of {@link #guarded(Supplier)}. */
  void guard(Runnable calls) {
    guarded(
        () -> {
          calls.run();
          return null;
        });
  }

  private long freeMemory() {
    try {
      return device.freeMemory();
    } catch (ForeignException e) {
      return -1;
    }
  }

  /**
   * Gives something back, and goes on where that fails: a lost device has nothing to give back to,
   * and of other failures the first is thrown when the back end is closed, so that none hides an
   * earlier one.
   */
  void closing(AutoCloseable thing) {
    try {
      thing.close();
    } catch (Exception e) {
      lost |= e instanceof ForeignException f && CudaDevice.isLost(f);
      if (!lost && closeFailure == null) {
        closeFailure = e;
      }
    }
  }

  /** Tells a person something. */
  void note(String sentence) {
    notes.accept(sentence);
  }

  @Override
  public String name() {
    return "cuda";
  }

  @Override
  public String device() {
    return String.format(
        Locale.ROOT,
        "%s, compute %.1f, %s, %s",
        device.name(),
        device.computeCapability() / 10.0,
        Cuda.availability().version(),
        options.precision().name().toLowerCase(Locale.ROOT));
  }

  @Override
  public Map<String, String> fingerprint() {
    Map<String, String> print = new LinkedHashMap<>();
    print.put("backend", "cuda");
    print.put("processor", device.name());
    print.put("precision", options.precision().name().toLowerCase(Locale.ROOT));
    print.put("deterministic", Boolean.toString(options.deterministic()));
    print.put("threads", "1");
    print.put("driver", Cuda.availability().version());
    print.put("cuDNN", Cudnn.availability().version());
    print.put("cuBLASLt", CublasLt.availability().version());
    return print;
  }

  @Override
  public int elementBytes() {
    return Float.BYTES;
  }

  @Override
  public Communicator communicator() {
    return communicator;
  }

  @Override
  public Confinement confinement() {
    return confinement;
  }

  @Override
  public MemorySegment allocate(long bytes) {
    confinement.require();
    if (bytes < 0) {
      throw new IllegalArgumentException("no memory of " + bytes + " bytes");
    }
    return guarded(
        bytes,
        () -> {
          MemorySegment memory = device.allocate(Math.max(Float.BYTES, bytes));
          allocations.put(memory.address(), memory);
          stream.fill(memory, (byte) 0);
          return memory.asSlice(0, bytes);
        });
  }

  @Override
  public void release(MemorySegment memory) {
    confinement.requireThread();
    MemorySegment whole = allocations.remove(memory.address());
    if (whole != null) {
      closing(() -> device.free(whole));
    }
  }

  @Override
  public void copyIn(MemorySegment host, MemorySegment memory, long count) {
    confinement.require();
    HostMemory.requireReadable(host, HostMemory.bytes(count, Float.BYTES));
    HostMemory.requireNative(host);
    requireOwn(memory, HostMemory.bytes(count, Float.BYTES));
    guard(
        () -> {
          ranks.await(stream);
          stream.copyToDevice(memory, host, count * Float.BYTES);
          stream.synchronise();
        });
  }

  @Override
  public void copyOut(MemorySegment memory, MemorySegment host, long count) {
    confinement.require();
    HostMemory.requireWritable(host, HostMemory.bytes(count, Float.BYTES));
    HostMemory.requireNative(host);
    requireOwn(memory, HostMemory.bytes(count, Float.BYTES));
    guard(
        () -> {
          ranks.await(stream);
          stream.copyToHost(host, memory, count * Float.BYTES);
          stream.synchronise();
        });
  }

  /** Refuses what is no memory of this device: the driver would take any address. */
  private void requireOwn(MemorySegment memory, long bytes) {
    Map.Entry<Long, MemorySegment> whole = allocations.floorEntry(memory.address());
    if (memory.byteSize() < bytes
        || whole == null
        || memory.address() + bytes > whole.getKey() + whole.getValue().byteSize()) {
      throw new IllegalArgumentException(
          "no memory of the device of " + bytes + " bytes is at that address");
    }
  }

  /** Page-locked host memory; whoever asks for it gives it back to the device. */
  MemorySegment allocatePinned(long bytes) {
    return guarded(bytes, () -> device.allocatePinned(bytes));
  }

  @Override
  public HostMemory hostMemory() {
    confinement.require();
    return new CudaHostMemory(this);
  }

  @Override
  public ControlBlock controls(int scalars) {
    confinement.require();
    if (scalars < 0) {
      throw new IllegalArgumentException("no block of " + scalars + " scalars");
    }
    return guarded(() -> new CudaControls(this, scalars));
  }

  @Override
  public GraphCompiler compiler(Graph graph, boolean fixedParameters) {
    confinement.require();
    return new CudaCompiler(this, graph, fixedParameters);
  }

  @Override
  public void synchronise() {
    confinement.require();
    guard(() -> ranks.await(stream));
  }

  @Override
  public void close() {
    if (!confinement.close()) {
      return;
    }
    if (copies != null) {
      closing(() -> ranks.settle(copies, stream));
    }
    closing(ranks);
    plans.values().forEach(this::closing);
    plans.clear();
    for (AutoCloseable each : new AutoCloseable[] {cublas, cudnn, kernels}) {
      if (each != null) {
        closing(each);
      }
    }
    allocations.values().forEach(memory -> closing(() -> device.free(memory)));
    allocations.clear();
    for (AutoCloseable each : new AutoCloseable[] {copies, stream, device}) {
      if (each != null) {
        closing(each);
      }
    }
    if (closeFailure != null && !lost) {
      throw new DeviceFailure(device.name(), false, closeFailure);
    }
  }
}
