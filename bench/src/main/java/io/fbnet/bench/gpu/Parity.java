package io.fbnet.bench.gpu;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.bench.StepSetting;
import io.fbnet.engine.backend.Precision;
import io.fbnet.engine.cuda.CudaBackend;
import io.fbnet.engine.graph.ParameterLayout;
import io.fbnet.engine.graph.Storage;
import io.fbnet.nas.file.JsonText;
import io.fbnet.nas.network.NetworkBuilder;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Writes what a peer needs to show that it computes the same steps: the first weights, the batches,
 * and the losses of a few w steps. The temperature is so high that every candidate's share is 1/9
 * whatever the noise, since two frameworks draw different noise.
 */
final class Parity {
  private static final double TAU = 1e9;
  private static final int STEPS = 4;

  private Parity() {}

  static void write(StepSetting setting, Path folder) {
    try (CudaBackend backend = Gpu.open(Precision.F32);
        StepFixture fixture = new StepFixture(backend, setting)) {
      Files.createDirectories(folder);
      ObjectNode tree = setting.json();
      tree.put("batch", setting.batch());
      tree.put("tau", TAU);
      fixture.fill();
      weights(fixture, tree.putArray("weights"), folder.resolve("weights.bin"));
      for (int i = 0; i < fixture.images.size(); i++) {
        bytes(folder.resolve("images" + i + ".bin"), normalised(setting, fixture.images.get(i)));
        bytes(folder.resolve("labels" + i + ".bin"), fixture.labels.get(i));
      }
      fixture.compile(false, TAU);
      ArrayNode losses = tree.putArray("losses");
      for (int i = 0; i < STEPS; i++) {
        fixture.step();
        losses.add(fixture.program.scalar("loss"));
      }
      Files.writeString(folder.resolve("parity.json"), JsonText.of(tree));
    } catch (IOException e) {
      throw new UncheckedIOException("cannot write to " + folder, e);
    }
  }

  /** The images as the step's network sees them, f32: peers take them so. */
  private static MemorySegment normalised(StepSetting setting, MemorySegment pixels) {
    float mean = setting.normalisation().mean().getFirst();
    float std = setting.normalisation().std().getFirst();
    float[] values = new float[Math.toIntExact(pixels.byteSize())];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) (((pixels.get(ValueLayout.JAVA_BYTE, i) & 255) / 255.0 - mean) / std);
    }
    return MemorySegment.ofArray(values);
  }

  private static void weights(StepFixture fixture, ArrayNode list, Path file) throws IOException {
    ParameterLayout layout = fixture.store.layout(NetworkBuilder.WEIGHTS);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment host = arena.allocate(layout.size() * Float.BYTES, 64);
      fixture.store.save(NetworkBuilder.WEIGHTS, Storage.Flat.VALUES, host);
      bytes(file, host);
    }
    for (ParameterLayout.Entry entry : layout.entries()) {
      list.addObject()
          .put("name", entry.spec().name())
          .put("offset", entry.offset())
          .put("elements", entry.spec().shape().elements());
    }
  }

  private static void bytes(Path file, MemorySegment memory) throws IOException {
    Files.write(file, memory.toArray(ValueLayout.JAVA_BYTE));
  }
}
