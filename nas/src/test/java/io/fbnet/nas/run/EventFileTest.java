package io.fbnet.nas.run;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Reads event files back with a decoder of its own, and as TensorBoard purges. */
class EventFileTest {
  @TempDir Path folder;

  /** One decoded event; only the fields that scalars use are known. */
  record Event(double time, long step, String version, boolean start, Map<String, Float> scalars) {}

  /** CRC32C bit by bit, from the polynomial: the writer's comes from the library. */
  private static int crc(byte[] data) {
    int crc = -1;
    for (byte b : data) {
      crc ^= b & 0xff;
      for (int bit = 0; bit < 8; bit++) {
        crc = (crc & 1) == 0 ? crc >>> 1 : crc >>> 1 ^ 0x82f63b78;
      }
    }
    return ~crc;
  }

  private static int masked(byte[] data) {
    int crc = crc(data);
    return (crc >>> 15 | crc << 17) + 0xa282ead8;
  }

  private static List<Event> read(Path file) throws IOException {
    ByteBuffer in = ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN);
    List<Event> events = new ArrayList<>();
    while (in.hasRemaining()) {
      byte[] length = new byte[8];
      in.get(length);
      assertEquals(masked(length), in.getInt());
      byte[] data = new byte[Math.toIntExact(ByteBuffer.wrap(length).order(in.order()).getLong())];
      in.get(data);
      assertEquals(masked(data), in.getInt());
      events.add(event(ByteBuffer.wrap(data).order(ByteOrder.LITTLE_ENDIAN)));
    }
    return events;
  }

  private static Event event(ByteBuffer in) {
    double time = 0;
    long step = 0;
    String version = "";
    boolean start = false;
    Map<String, Float> scalars = new LinkedHashMap<>();
    while (in.hasRemaining()) {
      switch ((int) varint(in)) {
        case 1 << 3 | 1 -> time = in.getDouble();
        case 2 << 3 -> step = varint(in);
        case 3 << 3 | 2 -> version = text(bytes(in));
        case 5 << 3 | 2 -> {
          ByteBuffer summary = bytes(in);
          while (summary.hasRemaining()) {
            assertEquals(1 << 3 | 2, varint(summary));
            ByteBuffer value = bytes(summary);
            assertEquals(1 << 3 | 2, varint(value));
            String tag = text(bytes(value));
            assertEquals(2 << 3 | 5, varint(value));
            scalars.put(tag, value.getFloat());
          }
        }
        case 7 << 3 | 2 -> {
          ByteBuffer log = bytes(in);
          assertEquals(1 << 3, varint(log));
          start = varint(log) == 1;
        }
        default -> throw new AssertionError("an unknown field");
      }
    }
    return new Event(time, step, version, start, scalars);
  }

  private static long varint(ByteBuffer in) {
    long value = 0;
    for (int shift = 0; ; shift += 7) {
      byte b = in.get();
      value |= (long) (b & 0x7f) << shift;
      if (b >= 0) {
        return value;
      }
    }
  }

  private static ByteBuffer bytes(ByteBuffer in) {
    int length = Math.toIntExact(varint(in));
    ByteBuffer part = in.slice(in.position(), length).order(ByteOrder.LITTLE_ENDIAN);
    in.position(in.position() + length);
    return part;
  }

  private static String text(ByteBuffer bytes) {
    return StandardCharsets.UTF_8.decode(bytes).toString();
  }

  /** What TensorBoard keeps of a tag: a START drops what older files say of its step and later. */
  static Map<Long, List<Float>> series(Path folder, String tag) throws IOException {
    TreeMap<Long, List<Float>> kept = new TreeMap<>();
    List<Path> files;
    try (Stream<Path> all = Files.list(folder)) {
      files = all.filter(p -> p.toString().contains("tfevents")).sorted().toList();
    }
    for (Path file : files) {
      for (Event event : read(file)) {
        if (event.start()) {
          kept.tailMap(event.step()).clear();
        }
        if (event.scalars().containsKey(tag)) {
          kept.computeIfAbsent(event.step(), s -> new ArrayList<>()).add(event.scalars().get(tag));
        }
      }
    }
    return kept;
  }

  private static Map<String, Object> line(int epoch, String phase, Object... numbers) {
    Map<String, Object> line = new LinkedHashMap<>();
    line.put("epoch", epoch);
    line.put("phase", phase);
    for (int i = 0; i < numbers.length; i += 2) {
      line.put((String) numbers[i], numbers[i + 1]);
    }
    return line;
  }

  @Test
  void aKnownChecksum() {
    // The check value of CRC-32C, from its published catalogue entry.
    assertEquals(0xe3069283, crc("123456789".getBytes(StandardCharsets.US_ASCII)));
  }

  @Test
  void everyNumberIsAScalarOfItsPhase() throws IOException {
    double[][] theta = new double[3][9];
    try (EventFile events = EventFile.begin(folder, 1);
        MetricsLog log = MetricsLog.open(folder.resolve("metrics.jsonl"))) {
      log.mirrorTo(events);
      log.append(1, line(0, "w", "loss", 1.5f, "tau", 5.0));
      log.append(300, line(0, "theta", "loss", Float.NaN, "latency_ms", 0.25f));
      log.append(1L << 40, line(0, "epoch", "expected_ms", 0.125, "theta", theta));
      List<Event> read = read(events.path());
      assertEquals("brain.Event:2", read.get(0).version());
      assertTrue(Math.abs(read.get(0).time() - System.currentTimeMillis() / 1000.0) < 600);
      assertTrue(read.get(1).start());
      assertEquals(1, read.get(1).step());
      assertEquals(Map.of("loss/w", 1.5f, "tau/w", 5f), read.get(2).scalars());
      assertEquals(300, read.get(3).step());
      assertEquals(
          Map.of("loss/theta", Float.NaN, "latency_ms/theta", 0.25f), read.get(3).scalars());
      assertEquals(1L << 40, read.get(4).step());
      assertEquals(Map.of("expected_ms/epoch", 0.125f), read.get(4).scalars());
      assertEquals(5, read.size());
    }
  }

  @Test
  void afterAResumeEveryStepStandsOnce() throws IOException {
    try (EventFile events = EventFile.begin(folder, 1)) {
      for (int step = 1; step <= 9; step++) {
        events.append(step, line(0, "w", "loss", (float) step));
      }
    }
    // Checkpoint after step 6; the files lie within the same second.
    try (EventFile events = EventFile.begin(folder, 7)) {
      for (int step = 7; step <= 8; step++) {
        events.append(step, line(0, "w", "loss", 10f * step));
      }
    }
    Map<Long, List<Float>> series = series(folder, "loss/w");
    assertArrayEquals(
        new Long[] {1L, 2L, 3L, 4L, 5L, 6L, 7L, 8L}, series.keySet().toArray(Long[]::new));
    assertEquals(List.of(6f), series.get(6L));
    assertEquals(List.of(70f), series.get(7L));
  }

  @Test
  void aLongMessageGrows() throws IOException {
    Object[] many = new Object[600];
    for (int i = 0; i < many.length; i += 2) {
      many[i] = "a rather long name of a number, such as nobody should use " + i;
      many[i + 1] = (double) i;
    }
    try (EventFile events = EventFile.begin(folder, 1)) {
      events.append(1, line(0, "w", many));
      assertEquals(300, read(events.path()).getLast().scalars().size());
    }
  }
}
