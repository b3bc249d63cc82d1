package io.fbnet.nas.run;

import io.fbnet.nas.file.AtomicFile;
import io.fbnet.nas.file.Folder;
import io.fbnet.nas.file.ProtobufMessage;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Locale;
import java.util.Map;
import java.util.zip.CRC32C;

/**
 * A TensorBoard event file: the numbers of the metrics lines as scalars, each readable as soon as
 * it is written. Records are framed as in a TFRecord file; the few messages of {@code event.proto}
 * and {@code summary.proto} that scalars need are encoded here.
 */
public final class EventFile implements AutoCloseable {
  private static final String PREFIX = "events.out.tfevents.";
  private static final String SUFFIX = ".fbnet";
  private static final String VERSION = "brain.Event:2";
  private static final int CRC_MASK_DELTA = 0xa282ead8;

  // Numbers of fields in the public message definitions.
  private static final int EVENT_WALL_TIME = 1;
  private static final int EVENT_STEP = 2;
  private static final int EVENT_FILE_VERSION = 3;
  private static final int EVENT_SUMMARY = 5;
  private static final int EVENT_SESSION_LOG = 7;
  private static final int SUMMARY_VALUE = 1;
  private static final int VALUE_TAG = 1;
  private static final int VALUE_SIMPLE_VALUE = 2;
  private static final int SESSION_STATUS = 1;
  private static final int SESSION_START = 1;

  private final Path path;
  private final FileChannel channel;

  private EventFile(Path path, FileChannel channel) {
    this.path = path;
    this.channel = channel;
  }

  /**
   * Begins a new event file in a run's folder. Readers forget what older files of the folder say of
   * {@code firstStep} and later, so what a resumed run does again stands once.
   *
   * @param folder the run's folder, which must exist
   * @param firstStep the number of the first step that this file will have
   * @return the open file; the caller closes it
   * @throws io.fbnet.nas.UserException (exit code 5) if it cannot be written
   */
  public static EventFile begin(Path folder, long firstStep) {
    Path path = folder;
    try {
      // Readers take the files in the order of their names.
      long second = Math.max(System.currentTimeMillis() / 1000, newest(folder) + 1);
      FileChannel channel = null;
      while (channel == null) {
        path = folder.resolve(PREFIX + String.format(Locale.ROOT, "%010d", second++) + SUFFIX);
        channel = create(path);
      }
      EventFile file = new EventFile(path, channel);
      file.record(event(0).text(EVENT_FILE_VERSION, VERSION));
      ProtobufMessage session = new ProtobufMessage().integer(SESSION_STATUS, SESSION_START);
      file.record(event(firstStep).message(EVENT_SESSION_LOG, session));
      return file;
    } catch (IOException e) {
      throw AtomicFile.unwritable(path, e);
    }
  }

  private static FileChannel create(Path path) throws IOException {
    try {
      return FileChannel.open(path, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
    } catch (FileAlreadyExistsException e) {
      return null;
    }
  }

  /** The second in the name of the newest event file, -1 if there is none of ours. */
  private static long newest(Path folder) throws IOException {
    return Folder.entries(folder).stream()
        .map(entry -> entry.getFileName().toString())
        .filter(name -> name.matches("events\\.out\\.tfevents\\.\\d{10}\\.fbnet"))
        .mapToLong(name -> Long.parseLong(name.substring(PREFIX.length(), PREFIX.length() + 10)))
        .max()
        .orElse(-1);
  }

  /** Its path. */
  Path path() {
    return path;
  }

  /**
   * Writes the numbers of one metrics line, tagged {@code NAME/PHASE} so that the phases of one
   * quantity are shown together. Other values are left out, and so is the epoch, which is no
   * measurement.
   */
  synchronized void append(long step, Map<String, ?> fields) {
    ProtobufMessage summary = new ProtobufMessage();
    boolean any = false;
    for (Map.Entry<String, ?> field : fields.entrySet()) {
      if (field.getValue() instanceof Number number && !field.getKey().equals("epoch")) {
        String tag = field.getKey() + "/" + fields.get("phase");
        ProtobufMessage value = new ProtobufMessage();
        value.text(VALUE_TAG, tag).real(VALUE_SIMPLE_VALUE, number.floatValue());
        summary.message(SUMMARY_VALUE, value);
        any = true;
      }
    }
    if (any) {
      try {
        record(event(step).message(EVENT_SUMMARY, summary));
      } catch (IOException e) {
        throw AtomicFile.unwritable(path, e);
      }
    }
  }

  private static ProtobufMessage event(long step) {
    return new ProtobufMessage()
        .real(EVENT_WALL_TIME, System.currentTimeMillis() / 1000.0)
        .integer(EVENT_STEP, step);
  }

  /** Length, its checksum, data, its checksum. */
  private void record(ProtobufMessage message) throws IOException {
    ByteBuffer data = ByteBuffer.wrap(message.toByteArray());
    ByteBuffer record = ByteBuffer.allocate(data.remaining() + 16).order(ByteOrder.LITTLE_ENDIAN);
    record.putLong(data.remaining());
    record.putInt(checksum(record.duplicate().flip()));
    record.put(data.duplicate());
    record.putInt(checksum(data));
    record.flip();
    while (record.hasRemaining()) {
      channel.write(record);
    }
  }

  /** CRC32C, rotated and shifted so that a checksum of data with checksums stays a good one. */
  private static int checksum(ByteBuffer data) {
    CRC32C crc = new CRC32C();
    crc.update(data);
    return Integer.rotateRight((int) crc.getValue(), 15) + CRC_MASK_DELTA;
  }

  @Override
  public synchronized void close() {
    try {
      channel.close();
    } catch (IOException e) {
      throw AtomicFile.unwritable(path, e);
    }
  }
}
