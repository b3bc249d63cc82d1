package io.fbnet.nas.network;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.backend.HostMemory;
import io.fbnet.engine.backend.Readback;
import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.program.Devices;
import io.fbnet.engine.program.ParameterStore;
import io.fbnet.engine.program.Program;
import io.fbnet.nas.data.Augmentation;
import io.fbnet.nas.data.Batch;
import io.fbnet.nas.data.BatchLoader;
import io.fbnet.nas.data.ImageSet;
import io.fbnet.nas.data.ImageShape;
import io.fbnet.nas.data.Normalisation;
import io.fbnet.nas.space.SearchSpace;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.zip.CRC32C;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Images that travel as bytes are the ones that the host made when it still made them. */
class BatchInputsTest {
  private static final long SEED = 20261128L;
  private static final int IMAGES = 29;
  private static final int BATCH = 8;
  private static final int EPOCHS = 3;

  private static ImageSet images(ImageShape shape) {
    byte[] pixels = new byte[IMAGES * shape.elements()];
    new Random(SEED).nextBytes(pixels);
    int[] labels = IntStream.range(0, IMAGES).map(i -> i % 4).toArray();
    return ImageSet.of(
        "train", shape, MemorySegment.ofArray(pixels), labels, List.of("a", "b", "c", "d"));
  }

  private static Normalisation normalisation(int channels) {
    return Normalisation.of(
        Arrays.copyOf(new float[] {0.4914f, 0.4822f, 0.4465f}, channels),
        Arrays.copyOf(new float[] {0.247f, 0.2435f, 0.2616f}, channels));
  }

  /**
   * The images that a program on a device makes of a loader's batches, three epochs of four batches
   * of which the last is padded, the way a training loop hands them over.
   */
  private static List<float[]> normalised(
      String device, ImageShape shape, Augmentation augmentation) {
    List<float[]> all = new ArrayList<>();
    GraphBuilder b = new GraphBuilder();
    SearchSpace.Input in = new SearchSpace.Input(shape.channels(), shape.height(), shape.width());
    b.output("y", BatchInputs.images(b, in, BATCH, normalisation(shape.channels())));
    BatchInputs.labels(b, BATCH);
    ImageSet set = images(shape);
    try (Backend backend = Devices.open(device);
        ParameterStore store = new ParameterStore(backend, List.of());
        Program program = Program.compile(backend, b.build(), store);
        HostMemory memory = backend.hostMemory();
        BatchLoader loader =
            BatchLoader.over(set, IntStream.range(0, IMAGES).toArray())
                .batchSize(BATCH)
                .augmentation(augmentation)
                .random(0x1234567890L, 2)
                .shuffle(true)
                .allocator(memory)
                .manualRelease(true)
                .build()) {
      for (int epoch = 0; epoch < EPOCHS; epoch++) {
        loader.start(epoch, 0);
        Batch before = null;
        Readback results = null;
        for (Batch batch = loader.next(); batch != null; batch = loader.next()) {
          BatchInputs.lend(program, batch);
          program.run();
          Readback launched = program.readLater("y");
          if (results != null) {
            all.add(results.await()[0]);
            before.release();
          }
          before = batch;
          results = launched;
        }
        all.add(results.await()[0]);
        before.release();
      }
    }
    return all;
  }

  private static String crc32c(List<float[]> images) {
    CRC32C crc = new CRC32C();
    for (float[] batch : images) {
      ByteBuffer bytes =
          ByteBuffer.allocate(batch.length * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
      bytes.asFloatBuffer().put(batch);
      crc.update(bytes);
    }
    return Long.toHexString(crc.getValue());
  }

  /**
   * The sums are those of the f32 images that the loader itself gave before it gave bytes, by the
   * same seed, at commit 3648bc4.
   */
  @ParameterizedTest
  @CsvSource({
    "1, 7, 5, 0, false, 308e1b23",
    "1, 7, 5, 0, true, 9ae23394",
    "1, 7, 5, 3, false, ce9e3c81",
    "1, 7, 5, 2, true, 7cd6dbb8",
    "1, 7, 5, 9, true, bddcf4fd",
    "3, 6, 5, 0, false, b2af9231",
    "3, 6, 5, 0, true, 254790e6",
    "3, 6, 5, 3, false, 330a02cd",
    "3, 6, 5, 2, true, e7603fed",
    "3, 6, 5, 9, true, d783a39b",
    "3, 1, 1, 0, false, dce6538f",
    "3, 1, 1, 3, false, 96200132",
    "3, 1, 1, 2, true, 91baaefa",
  })
  void everyDeviceMakesThePixelsThatTheHostMade(
      int channels, int height, int width, int padding, boolean flip, String sum) {
    ImageShape shape = new ImageShape(channels, height, width);
    Augmentation augmentation = Augmentation.of(new Augmentation.Padded(padding), flip);
    for (String device :
        List.of("reference", "cpu", "cpu, scalar", "cpu bf16", "cuda", "cuda, lazy")) {
      List<float[]> images = normalised(device, shape, augmentation);
      assertEquals(EPOCHS * 4, images.size());
      assertEquals(sum, crc32c(images), shape + ", " + augmentation + " on " + device);
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 3})
  void bf16IsRoundedFromThemOnce(int channels) {
    ImageShape shape = new ImageShape(channels, 9, 7);
    Augmentation augmentation = Augmentation.cropAndFlip(2);
    List<float[]> exact = normalised("cpu", shape, augmentation);
    List<float[]> narrow = normalised("cuda bf16", shape, augmentation);
    int changed = 0;
    for (int i = 0; i < exact.size(); i++) {
      float[] rounded = exact.get(i).clone();
      for (int k = 0; k < rounded.length; k++) {
        int bits = Float.floatToRawIntBits(rounded[k]);
        // To nearest, ties to even.
        float near = Float.intBitsToFloat(bits + 0x7fff + (bits >>> 16 & 1) & 0xffff0000);
        changed += near == rounded[k] ? 0 : 1;
        rounded[k] = near;
      }
      assertArrayEquals(rounded, narrow.get(i), "batch " + i + ", seed " + SEED);
    }
    assertTrue(changed > 0, "nothing was rounded");
  }
}
