package io.fbnet.nas.onnx;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/** An ONNX file in ONNX Runtime, the judge that knows nothing of this program. */
public final class OnnxRuntime implements AutoCloseable {
  private final OrtSession session;

  /** Loads a file; what is wrong with it is an exception. */
  public OnnxRuntime(Path file) throws OrtException {
    try (OrtSession.SessionOptions options = new OrtSession.SessionOptions()) {
      options.setIntraOpNumThreads(1);
      session = OrtEnvironment.getEnvironment().createSession(file.toString(), options);
    }
  }

  /** The session, to ask what the file says of itself. */
  public OrtSession session() {
    return session;
  }

  /** The file's own properties. */
  public Map<String, String> properties() throws OrtException {
    return session.getMetadata().getCustomMetadata();
  }

  /** Runs the only input to the only output. */
  public float[] run(float[] input, long... shape) throws OrtException {
    String name = List.copyOf(session.getInputNames()).getFirst();
    try (OnnxTensor tensor =
            OnnxTensor.createTensor(
                OrtEnvironment.getEnvironment(), FloatBuffer.wrap(input), shape);
        OrtSession.Result result = session.run(Map.of(name, tensor))) {
      FloatBuffer buffer = ((OnnxTensor) result.get(0)).getFloatBuffer();
      float[] output = new float[buffer.remaining()];
      buffer.get(output);
      return output;
    }
  }

  @Override
  public void close() throws OrtException {
    session.close();
  }
}
