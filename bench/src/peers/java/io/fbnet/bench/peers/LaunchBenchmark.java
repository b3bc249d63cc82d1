package io.fbnet.bench.peers;

import io.fbnet.foreign.CudaArguments;
import io.fbnet.foreign.CudaDevice;
import io.fbnet.foreign.CudaLaunch;
import io.fbnet.foreign.CudaModule;
import io.fbnet.foreign.CudaStream;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.TimeUnit;
import jcuda.Pointer;
import jcuda.driver.CUfunction;
import jcuda.driver.CUmodule;
import jcuda.driver.CUstream;
import jcuda.driver.JCudaDriver;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * What a call of the driver costs through the Foreign Function & Memory API and through JCuda's
 * JNI: the launch of a kernel with three arguments and nothing to do, and a wait for a stream that
 * is idle. Both call the same driver: a device's, where launches wait for each other every so
 * often, or that of the software device, whose launch includes its run. Then {@code
 * FBNET_CUDA_PATH} and {@code LD_LIBRARY_PATH} name its folder, {@code kernels/target/software}.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Fork(
    value = 3,
    jvmArgsAppend = {"--enable-native-access=ALL-UNNAMED"})
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 3, time = 1)
public class LaunchBenchmark {
  /** The software device knows the kernel by its name. */
  private static final String NAME = "cast_to_bf16";

  private static final byte[] PTX =
      """
      .version 7.0
      .target sm_75
      .address_size 64
      .visible .entry cast_to_bf16(
        .param .u64 x,
        .param .u64 y,
        .param .u64 n
      )
      {
        ret;
      }
      \0\
      """
          .getBytes(StandardCharsets.US_ASCII);

  /** Fewer than a device's queue holds. */
  private static final int LAUNCHES = 256;

  private static final int[] ONE = {1, 1, 1};

  private CudaDevice device;
  private MemorySegment numbers;
  private CudaModule module;
  private CudaStream stream;
  private CudaLaunch launch;
  private CUmodule jcudaModule;
  private CUfunction jcudaFunction;
  private CUstream jcudaStream;
  private Pointer jcudaArguments;

  /** The context of the first becomes the second's: it is current in this thread. */
  @Setup(Level.Trial)
  public void open() {
    device = CudaDevice.open(0);
    numbers = device.allocate(256);
    stream = CudaStream.create();
    module = CudaModule.load(PTX);
    launch =
        module
            .function(NAME)
            .prepare(ONE, ONE, 0, new CudaArguments().pointer(numbers).pointer(numbers).i64(0));
    JCudaDriver.setExceptionsEnabled(true);
    jcudaModule = new CUmodule();
    JCudaDriver.cuModuleLoadData(jcudaModule, PTX);
    jcudaFunction = new CUfunction();
    JCudaDriver.cuModuleGetFunction(jcudaFunction, jcudaModule, NAME);
    jcudaStream = new CUstream();
    JCudaDriver.cuStreamCreate(jcudaStream, 0);
    Pointer address = Pointer.to(new long[] {numbers.address()});
    jcudaArguments = Pointer.to(address, address, Pointer.to(new long[] {0}));
  }

  @Benchmark
  @OperationsPerInvocation(LAUNCHES)
  public void launchForeign() {
    for (int i = 0; i < LAUNCHES; i++) {
      launch.on(stream);
    }
    stream.synchronise();
  }

  @Benchmark
  @OperationsPerInvocation(LAUNCHES)
  public void launchJcuda() {
    for (int i = 0; i < LAUNCHES; i++) {
      JCudaDriver.cuLaunchKernel(
          jcudaFunction, 1, 1, 1, 1, 1, 1, 0, jcudaStream, jcudaArguments, null);
    }
    JCudaDriver.cuStreamSynchronize(jcudaStream);
  }

  @Benchmark
  public void waitForeign() {
    stream.synchronise();
  }

  @Benchmark
  public void waitJcuda() {
    JCudaDriver.cuStreamSynchronize(jcudaStream);
  }

  @TearDown(Level.Trial)
  public void close() {
    JCudaDriver.cuStreamDestroy(jcudaStream);
    JCudaDriver.cuModuleUnload(jcudaModule);
    launch.close();
    module.close();
    stream.close();
    device.free(numbers);
    device.close();
  }
}
