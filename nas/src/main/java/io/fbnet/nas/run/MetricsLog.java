package io.fbnet.nas.run;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.nas.UserException;
import io.fbnet.nas.file.AtomicFile;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * The append-only record of a run: one JSON object a line, each with {@code format} and {@code
 * step}, handed to the system as soon as it is written. Other programs may read it meanwhile.
 */
public final class MetricsLog implements AutoCloseable {
  static final int FORMAT = 1;
  private static final ObjectMapper JSON = new ObjectMapper();

  private final Path path;
  private final FileChannel channel;
  private EventFile mirror;

  private MetricsLog(Path path, FileChannel channel) {
    this.path = path;
    this.channel = channel;
  }

  /**
   * Opens a log for appending, new or not. A last line that a dying process tore is cut off, so
   * that it does not spoil the next.
   *
   * @param path the log
   * @return the open log; the caller closes it
   * @throws UserException (exit code 5) if it cannot be opened for writing
   */
  public static MetricsLog open(Path path) {
    try {
      FileChannel channel =
          FileChannel.open(
              path, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
      channel.truncate(wholeLines(channel));
      channel.position(channel.size());
      return new MetricsLog(path, channel);
    } catch (IOException e) {
      throw AtomicFile.unwritable(path, e);
    }
  }

  /** {@return a log that keeps nothing: of a process beside the one that writes} */
  public static MetricsLog none() {
    return new MetricsLog(null, null);
  }

  /**
   * Writes the numbers of every line from now on to an event file too.
   *
   * @param events the event file; the caller closes it
   */
  public synchronized void mirrorTo(EventFile events) {
    mirror = events;
  }

  /** Length of the log up to and with its last line break. */
  private static long wholeLines(FileChannel channel) throws IOException {
    ByteBuffer last = ByteBuffer.allocate(1);
    long length = channel.size();
    while (length > 0) {
      channel.read(last.clear(), length - 1);
      if (last.get(0) == '\n') {
        break;
      }
      length--;
    }
    return length;
  }

  /**
   * Appends one line.
   *
   * @param step optimiser steps done, the line's first field
   * @param fields numbers, texts, truth values or Jackson trees, in the map's order; JSON has no
   *     infinity and no NaN, so those are written as null; none is called format or step
   * @throws IllegalArgumentException if one is called so
   * @throws UserException (exit code 5) if it cannot be written
   */
  public synchronized void append(long step, Map<String, ?> fields) {
    ObjectNode line = JsonNodeFactory.instance.objectNode();
    line.put("format", FORMAT).put("step", step);
    fields.forEach((name, value) -> line.set(name, tree(name, value)));
    if (channel == null) {
      return;
    }
    ByteBuffer bytes = ByteBuffer.wrap((line + "\n").getBytes(StandardCharsets.UTF_8));
    try {
      while (bytes.hasRemaining()) {
        channel.write(bytes);
      }
    } catch (IOException e) {
      throw AtomicFile.unwritable(path, e);
    }
    if (mirror != null) {
      mirror.append(step, fields);
    }
  }

  private static JsonNode tree(String name, Object value) {
    if (name.equals("step") || name.equals("format")) {
      throw new IllegalArgumentException("the field '" + name + "' is the log's own");
    }
    return switch (value) {
      case Double d when !Double.isFinite(d) -> JsonNodeFactory.instance.nullNode();
      case Float f when !Float.isFinite(f) -> JsonNodeFactory.instance.nullNode();
      case null -> JsonNodeFactory.instance.nullNode();
      default -> JSON.valueToTree(value);
    };
  }

  /**
   * Makes everything appended so far durable.
   *
   * @throws UserException (exit code 5) if the disk refuses
   */
  public synchronized void force() {
    try {
      if (channel != null) {
        channel.force(false);
      }
    } catch (IOException e) {
      throw AtomicFile.unwritable(path, e);
    }
  }

  @Override
  public synchronized void close() {
    try {
      if (channel != null) {
        channel.close();
      }
    } catch (IOException e) {
      throw AtomicFile.unwritable(path, e);
    }
  }

  /**
   * {@return all lines of a log, in order} A last line that a dying process tore is left out. A log
   * that does not exist has no lines.
   *
   * @param path the log
   * @throws UserException (exit code 3) if another line is no metrics line, (exit code 5) if the
   *     log cannot be read
   */
  public static List<ObjectNode> read(Path path) {
    String text;
    try {
      text = new String(Files.readAllBytes(path), StandardCharsets.UTF_8);
    } catch (NoSuchFileException e) {
      return List.of();
    } catch (IOException e) {
      throw Safetensors.unreadable(path, e);
    }
    List<ObjectNode> lines = new ArrayList<>();
    int number = 0;
    for (int start = 0; start < text.length(); ) {
      int end = text.indexOf('\n', start);
      if (end < 0) {
        break; // Torn: every whole line ends in a line break.
      }
      number++;
      lines.add(parse(path, number, text.substring(start, end)));
      start = end + 1;
    }
    return lines;
  }

  private static ObjectNode parse(Path path, int number, String line) {
    JsonNode tree;
    try {
      tree = JSON.readTree(line);
    } catch (JsonProcessingException e) {
      throw UserException.data("%s, line %d: not valid JSON; mend or remove it", path, number);
    }
    if (!(tree instanceof ObjectNode object)
        || !object.path("step").isIntegralNumber()
        || object.path("format").asInt() != FORMAT) {
      throw UserException.data(
          "%s, line %d: no metrics line of format %d with a step", path, number, FORMAT);
    }
    return object;
  }

  /**
   * Cuts a log back to a checkpoint before a run resumes from it: lines of later steps and a torn
   * last line go, whole or not at all. Call it while the log is not open.
   *
   * @param path the log, which need not exist
   * @param step the checkpoint's; its own lines stay
   * @return how many whole lines went
   * @throws UserException (exit code 3) if a whole line is no metrics line, (exit code 5) if the
   *     log cannot be read or written
   */
  public static int truncateAfter(Path path, long step) {
    List<ObjectNode> lines = read(path);
    StringBuilder kept = new StringBuilder();
    int removed = 0;
    for (ObjectNode line : lines) {
      if (line.get("step").asLong() <= step) {
        kept.append(line).append('\n');
      } else {
        removed++;
      }
    }
    if (Files.exists(path)) {
      AtomicFile.writeText(path, kept.toString());
    }
    return removed;
  }
}
