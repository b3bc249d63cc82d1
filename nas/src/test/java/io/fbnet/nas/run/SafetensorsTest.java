package io.fbnet.nas.run;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.nas.ExitCode;
import io.fbnet.nas.Refusals;
import io.fbnet.nas.UserException;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SafetensorsTest {
  @TempDir Path folder;

  @Test
  void theBytesAreThoseOfTheFormat() throws Exception {
    Path file = folder.resolve("a.safetensors");
    MemorySegment floats = MemorySegment.ofArray(new float[] {1, -2, 0.5f});
    MemorySegment bytes = MemorySegment.ofArray(new byte[] {7, 8});
    Safetensors.Written written =
        Safetensors.write(
            file,
            List.of(
                Tensor.of("b", Tensor.Type.U8, bytes, 2),
                Tensor.of("w", Tensor.Type.F32, floats, 3, 1)),
            Map.of("made_by", "fbnet"));
    byte[] all = Files.readAllBytes(file);
    ByteBuffer buffer = ByteBuffer.wrap(all).order(ByteOrder.LITTLE_ENDIAN);
    int header = (int) buffer.getLong(0);
    assertEquals(0, (8 + header) % 8);
    String json = new String(all, 8, header, StandardCharsets.UTF_8);
    assertEquals(
        "{\"__metadata__\":{\"made_by\":\"fbnet\"},"
            + "\"w\":{\"dtype\":\"F32\",\"shape\":[3,1],\"data_offsets\":[0,12]},"
            + "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[12,14]}}",
        json.stripTrailing());
    assertEquals(-2f, buffer.getFloat(8 + header + 4));
    assertEquals(8, all[all.length - 1]);
    assertEquals(all.length, written.bytes());
    String hash = HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(all));
    assertEquals(hash, written.sha256());
  }

  @Test
  void randomTensorsRoundTrip() throws IOException {
    long seed = 20260703L;
    System.out.println("SafetensorsTest seed " + seed);
    Random random = new Random(seed);
    List<Tensor.Type> types = List.of(Tensor.Type.values());
    Path file = folder.resolve("r.safetensors");
    for (int round = 0; round < 8; round++) {
      try (Arena arena = Arena.ofConfined()) {
        List<Tensor> tensors = new ArrayList<>();
        for (int i = 0; i < random.nextInt(8); i++) {
          Tensor.Type type = types.get(random.nextInt(types.size()));
          List<Long> shape = random.longs(random.nextInt(4), 0, 6).boxed().toList();
          tensors.add(
              new Tensor(
                  "t\"" + i + ".ü",
                  type,
                  shape,
                  fill(arena, random, Tensor.byteCount(type, shape))));
        }
        // One larger than the copying buffer, of odd length.
        tensors.add(
            Tensor.of(
                "big", Tensor.Type.U8, fill(arena, random, (1 << 20) * 2 + 5), (1 << 20) * 2 + 5));
        Safetensors.write(file, tensors, Map.of());
        try (Safetensors.Reader reader = Safetensors.open(file)) {
          assertEquals(tensors.size(), reader.names().size());
          for (Tensor tensor : tensors) {
            assertEquals(tensor.type(), reader.type(tensor.name()));
            assertEquals(tensor.shape(), reader.shape(tensor.name()));
            MemorySegment copy = arena.allocate(tensor.data().byteSize());
            reader.read(new Tensor(tensor.name(), tensor.type(), tensor.shape(), copy));
            assertEquals(-1, copy.mismatch(tensor.data()));
          }
        }
      }
    }
  }

  private static MemorySegment fill(Arena arena, Random random, long bytes) {
    byte[] values = new byte[Math.toIntExact(bytes)];
    random.nextBytes(values);
    return arena.allocateFrom(ValueLayout.JAVA_BYTE, values);
  }

  private Path raw(String json, int dataBytes) throws IOException {
    byte[] header = json.getBytes(StandardCharsets.UTF_8);
    ByteBuffer buffer =
        ByteBuffer.allocate(8 + header.length + dataBytes).order(ByteOrder.LITTLE_ENDIAN);
    buffer.putLong(header.length).put(header);
    return Files.write(folder.resolve("raw.safetensors"), buffer.array());
  }

  private void refused(String json, int dataBytes, String... words) throws IOException {
    Path file = raw(json, dataBytes);
    String[] all = Arrays.copyOf(words, words.length + 1);
    all[words.length] = "raw.safetensors";
    Refusals.data(() -> Safetensors.open(file).close(), all);
  }

  private static String one(String dtype, String shape, String offsets) {
    return "{\"a\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":%s}}"
        .formatted(dtype, shape, offsets);
  }

  @Test
  void malformedHeadersAreRefused() throws IOException {
    refused(one("F32", "[2]", "[0,12]"), 12, "needs 8 bytes, but has 12");
    refused(one("F32", "[2]", "[0,8]"), 7, "outside of the 7 bytes");
    refused(one("F32", "[2]", "[0,8]"), 9, "end at byte 8", "9 bytes");
    refused(one("F32", "[2]", "[4,12]"), 12, "gap");
    refused(one("F32", "[2]", "[8,0]"), 8, "bytes 8 to 0");
    refused(one("F32", "[-1]", "[0,8]"), 8, "between 0");
    refused(one("F32", "[2.0]", "[0,8]"), 8, "whole number");
    refused(one("F32", "[4611686018427387904,4]", "[0,8]"), 8, "impossible");
    refused(one("F32", "[2]", "[0]"), 8, "2 elements");
    refused(one("BF16", "[4]", "[0,8]"), 8, "BF16", "F32, F64, I32, I64, U8");
    refused(one("F32", "[2]", "[0,99999999999999999999]"), 8, "between 0");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "data_offsets");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":1}}", 8, "'x'");
    refused("{\"a\":7}", 0, "named fields");
    refused("{\"__metadata__\":{\"k\":[1]}}", 0, "__metadata__.k");
    refused("[1,2]", 0, "'{'");
    refused("{\"a\":", 0, "JSON");
    refused("{} {}", 0, "line 1");
    String two =
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
            + "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[%s]}}";
    refused(two.formatted("2,6"), 6, "overlap", "'b'");
    refused(two.replace("\"b\"", "\"a\"").formatted("4,8"), 8, "second time");
    // Fine: an empty tensor where another begins, and one after the last.
    try (Safetensors.Reader reader =
        Safetensors.open(
            raw(
                "{\"z\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                    + "\"e\":{\"dtype\":\"F32\",\"shape\":[0,5],\"data_offsets\":[0,0]},"
                    + "\"f\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[1,1]}}",
                1))) {
      assertEquals(List.of("e", "z", "f"), reader.names());
    }
  }

  @Test
  void everyTruncationIsRefused() throws IOException {
    Path file = folder.resolve("t.safetensors");
    Safetensors.write(
        file,
        List.of(Tensor.of("w", Tensor.Type.F64, MemorySegment.ofArray(new double[] {1, 2}), 2)),
        Map.of());
    byte[] all = Files.readAllBytes(file);
    for (int length = 0; length < all.length; length++) {
      Files.write(file, Arrays.copyOf(all, length));
      Refusals.data(() -> Safetensors.open(file).close(), "t.safetensors");
    }
    Refusals.data(() -> Safetensors.open(folder.resolve("none")), "no file");
  }

  @Test
  void everyFlippedHeaderBitIsReadOrRefusedInOneSentence() throws IOException {
    Path file = folder.resolve("f.safetensors");
    Safetensors.write(
        file,
        List.of(
            Tensor.of("w", Tensor.Type.F32, MemorySegment.ofArray(new float[] {1, 2}), 2),
            Tensor.of("x", Tensor.Type.U8, MemorySegment.ofArray(new byte[] {1}), 1)),
        Map.of());
    byte[] all = Files.readAllBytes(file);
    for (int bit = 0; bit < 8 * (all.length - 9); bit++) {
      byte[] flipped = all.clone();
      flipped[bit / 8] ^= (byte) (1 << (bit % 8));
      Files.write(file, flipped);
      try (Safetensors.Reader reader = Safetensors.open(file)) {
        assertEquals(2, reader.names().size());
      } catch (UserException e) {
        assertEquals(ExitCode.DATA_OR_CONFIGURATION, e.exitCode());
        assertTrue(e.getMessage().lines().count() == 1, e.getMessage());
      }
    }
  }

  @Test
  void aTensorOfAnotherNetworkIsRefused() throws IOException {
    Path file = folder.resolve("n.safetensors");
    MemorySegment two = MemorySegment.ofArray(new float[] {1, 2});
    Safetensors.write(
        file, List.of(Tensor.of("stem.weight", Tensor.Type.F32, two, 2)), Map.of("k", "v"));
    try (Safetensors.Reader reader = Safetensors.open(file)) {
      assertEquals(Map.of("k", "v"), reader.metadata());
      Refusals.data(
          () -> reader.read(Tensor.of("stem.wieght", Tensor.Type.F32, two, 2)), "'stem.weight'?");
      Refusals.data(() -> reader.read(Tensor.of("stem.weight", Tensor.Type.I32, two, 2)), "I32");
      Refusals.data(
          () -> reader.read(Tensor.of("stem.weight", Tensor.Type.F32, two, 1, 2)), "[2]", "[1, 2]");
      float[] back = new float[2];
      reader.read("stem.weight", MemorySegment.ofArray(back));
      assertArrayEquals(new float[] {1, 2}, back);
      assertThrows(
          IllegalArgumentException.class,
          () -> reader.read("stem.weight", MemorySegment.ofArray(new float[3])));
    }
    assertThrows(IllegalArgumentException.class, () -> Tensor.of("w", Tensor.Type.F32, two, 3));
    assertThrows(
        IllegalArgumentException.class, () -> Tensor.of("__metadata__", Tensor.Type.F32, two, 2));
  }
}
