package io.fbnet.nas.onnx;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.onnxruntime.OrtEnvironment;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;

/** Holds a promise of this program against newer versions of a library: nothing calls home. */
class OnnxRuntimeJarTest {
  @Test
  void theLibraryHasNoTelemetryClient() throws IOException {
    for (String machine : new String[] {"linux-x64", "linux-aarch64"}) {
      String name = "/ai/onnxruntime/native/" + machine + "/libonnxruntime.so";
      try (InputStream in = OrtEnvironment.class.getResourceAsStream(name)) {
        String library = new String(in.readAllBytes(), StandardCharsets.ISO_8859_1);
        assertTrue(library.contains("onnxruntime"), machine);
        assertFalse(library.contains("libcurl"), machine + " speaks HTTP");
        assertFalse(library.contains("Microsoft12Applications6Events"), machine + " has 1DS");
      }
    }
  }
}
