package io.fbnet.nas.kit;

import ai.onnxruntime.OnnxJavaType;
import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtLoggingLevel;
import ai.onnxruntime.OrtSession;
import io.fbnet.nas.ExitCode;
import io.fbnet.nas.UserException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;

/**
 * An ONNX file in ONNX Runtime for Java, on the CPU, with an input of noise: all optimisations, one
 * operation after the other.
 */
final class OrtFile implements Rounds.Timed {
  /** What tables and results call it. */
  static final String RUNTIME = "onnxruntime";

  static final String PROVIDER = "CPUExecutionProvider";

  private final Path file;
  private final OrtSession session;
  private final OnnxTensor input;
  private final Map<String, OnnxTensor> inputs;

  /**
   * Loads a file.
   *
   * @param shape of its input
   * @param bytes whether the input is uint8 and not f32
   * @param threads inside one operation
   * @throws UserException (exit code 3) if it cannot be loaded, (exit code 4) if this machine has
   *     no ONNX Runtime
   */
  OrtFile(Path file, String inputName, List<Integer> shape, boolean bytes, int threads) {
    this.file = file;
    session = open(file, threads);
    long[] sides = shape.stream().mapToLong(Integer::longValue).toArray();
    try {
      input =
          bytes
              ? OnnxTensor.createTensor(
                  environment(), noiseOfBytes(shape), sides, OnnxJavaType.UINT8)
              : OnnxTensor.createTensor(environment(), noise(shape), sides);
    } catch (OrtException | RuntimeException e) {
      closeQuietly(session);
      throw e instanceof OrtException refused ? refused(file, refused) : (RuntimeException) e;
    }
    inputs = Map.of(inputName, input);
  }

  /**
   * Loads a file with all optimisations, one operation after the other; the caller closes it.
   *
   * @throws UserException as the constructor
   */
  static OrtSession open(Path file, int threads) {
    OrtEnvironment environment = environment();
    try (OrtSession.SessionOptions options = new OrtSession.SessionOptions()) {
      options.setIntraOpNumThreads(threads);
      options.setInterOpNumThreads(1);
      options.setExecutionMode(OrtSession.SessionOptions.ExecutionMode.SEQUENTIAL);
      options.setOptimizationLevel(OrtSession.SessionOptions.OptLevel.ALL_OPT);
      return environment.createSession(file.toString(), options);
    } catch (OrtException e) {
      throw refused(file, e);
    }
  }

  /** The library's version. */
  static String version() {
    return environment().getVersion();
  }

  static OrtEnvironment environment() {
    try {
      return OrtEnvironment.getEnvironment(OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR);
    } catch (LinkageError | IllegalStateException e) {
      // What the library lacks differs by system; its own words are the best there are.
      String reason = e.getCause() == null ? e.getMessage() : e.getCause().getMessage();
      throw new UserException(
          ExitCode.DEVICE_OR_MEMORY,
          String.format(
              Locale.ROOT,
              "ONNX Runtime for Java does not load on this machine (%s): time the kit by its"
                  + " run.py",
              String.valueOf(reason).lines().findFirst().orElse("")),
          e);
    }
  }

  private static int elements(List<Integer> shape) {
    return shape.stream().reduce(1, Math::multiplyExact);
  }

  private static ByteBuffer noiseOfBytes(List<Integer> shape) {
    byte[] noise = new byte[elements(shape)];
    new Random(1).nextBytes(noise);
    return ByteBuffer.allocateDirect(noise.length).put(0, noise);
  }

  private static FloatBuffer noise(List<Integer> shape) {
    int n = elements(shape);
    FloatBuffer noise =
        ByteBuffer.allocateDirect(Math.multiplyExact(n, Float.BYTES))
            .order(ByteOrder.nativeOrder())
            .asFloatBuffer();
    Random random = new Random(1);
    for (int i = 0; i < n; i++) {
      noise.put(i, (float) random.nextGaussian());
    }
    return noise;
  }

  @Override
  public double[] time(int runs) {
    double[] ms = new double[runs];
    for (int i = 0; i < runs; i++) {
      try {
        long start = System.nanoTime();
        OrtSession.Result result = session.run(inputs);
        ms[i] = (System.nanoTime() - start) / 1e6;
        // Letting go of the result is the caller's business, not the network's: it is not timed.
        result.close();
      } catch (OrtException e) {
        throw refused(file, e);
      }
    }
    return ms;
  }

  static UserException refused(Path file, OrtException e) {
    String reason = e.getMessage().lines().findFirst().orElse("no reason given");
    return UserException.data("ONNX Runtime refuses %s: %s", file, reason);
  }

  @Override
  public void close() {
    input.close();
    closeQuietly(session);
  }

  static void closeQuietly(OrtSession session) {
    try {
      session.close();
    } catch (OrtException e) {
      // It only says that the session was closed before.
      throw new IllegalStateException(e);
    }
  }
}
