package io.fbnet.bench.gpu;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.engine.cuda.CudaBackend;
import io.fbnet.nas.file.JsonText;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** A part's results, written after each so that a time limit leaves those before it. */
final class Report {
  final ObjectNode tree = JsonNodeFactory.instance.objectNode();
  private final Path file;

  Report(Path file) {
    this.file = file;
    tree.put("complete", false);
  }

  void device(CudaBackend backend) {
    ObjectNode device = tree.putObject("device");
    backend.fingerprint().forEach(device::put);
    device.remove("precision");
    device.put("software", CudaBackend.isSoftware(backend.device()));
  }

  void write() {
    write(file, JsonText.of(tree));
  }

  /** Writes another file into the report's folder. */
  void beside(String name, String text) {
    write(file.resolveSibling(name), text);
  }

  private static void write(Path file, String text) {
    try {
      Files.writeString(file, text);
    } catch (IOException e) {
      throw new UncheckedIOException("cannot write " + file, e);
    }
  }
}
