package io.fbnet.nas.file;

import io.fbnet.nas.UserException;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Replaces a file as a whole or not at all: the bytes go to a temporary file in the same folder,
 * reach the disk, and take the name by an atomic move.
 */
public final class AtomicFile {
  /** What Linux says of a folder on a file system that cannot force one. */
  private static final String FOLDER_NOT_SYNCED = "Invalid argument";

  private static final Pattern TEMPORARY = Pattern.compile("\\..+\\.(\\d+)-[0-9a-f]+\\.tmp");

  private AtomicFile() {}

  /** What fills the temporary file. */
  @FunctionalInterface
  public interface Body {
    /** Writes everything to {@code channel}, which is open for reading and writing and empty. */
    void writeTo(FileChannel channel) throws IOException;
  }

  /** Writes UTF-8 text; missing folders are made; a failure is a storage error (exit code 5). */
  public static void writeText(Path target, String text) {
    ByteBuffer bytes = ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8));
    try {
      write(
          target,
          channel -> {
            while (bytes.hasRemaining()) {
              channel.write(bytes);
            }
          });
    } catch (IOException e) {
      throw unwritable(target, e);
    }
  }

  /**
   * Writes what {@code body} gives; a failure leaves neither the target nor the temporary file. A
   * symbolic link stays one: what it leads to is replaced. What is no regular file, as a pipe or a
   * device, gets the bytes once they are whole.
   */
  public static void write(Path name, Body body) throws IOException {
    Path target = name;
    if (Files.isSymbolicLink(name)) {
      if (!Files.exists(name)) {
        throw new IOException("it is a link that leads nowhere");
      }
      target = name.toRealPath();
    }
    if (Files.isDirectory(target)) {
      throw new IOException("it is a folder");
    }
    if (Files.exists(target) && !Files.isRegularFile(target)) {
      passOn(target, body);
      return;
    }
    Path folder = target.toAbsolutePath().getParent();
    Files.createDirectories(folder);
    // Not Files.createTempFile, which makes files that only their owner may read.
    String unique = ProcessHandle.current().pid() + "-" + Long.toHexString(System.nanoTime());
    Path temporary = folder.resolve("." + target.getFileName() + "." + unique + ".tmp");
    try {
      try (FileChannel channel =
          FileChannel.open(
              temporary,
              StandardOpenOption.CREATE_NEW,
              StandardOpenOption.READ,
              StandardOpenOption.WRITE)) {
        body.writeTo(channel);
        channel.force(true);
      }
      Files.move(
          temporary, target, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
      syncFolder(folder);
    } finally {
      Files.deleteIfExists(temporary);
    }
  }

  private static void passOn(Path target, Body body) throws IOException {
    Path whole = Files.createTempFile("fbnet", ".tmp");
    try (FileChannel channel =
            FileChannel.open(whole, StandardOpenOption.READ, StandardOpenOption.WRITE);
        OutputStream out = new FileOutputStream(target.toFile())) {
      body.writeTo(channel);
      Files.copy(whole, out);
    } finally {
      Files.deleteIfExists(whole);
    }
  }

  /**
   * Makes a folder's entries durable where the system knows this of folders; else does nothing.
   *
   * @throws IOException where the disk refuses
   */
  public static void syncFolder(Path folder) throws IOException {
    FileChannel channel;
    try {
      channel = FileChannel.open(folder, StandardOpenOption.READ);
    } catch (IOException e) {
      // Not every system opens folders, and the data itself has already been forced.
      return;
    }
    try (channel) {
      channel.force(true);
    } catch (IOException e) {
      if (!FOLDER_NOT_SYNCED.equals(e.getMessage())) {
        throw e;
      }
    }
  }

  /** Removes what killed processes left of files in a folder that were not whole yet. */
  public static void removeLeftBehind(Path folder) throws IOException {
    for (Path entry : Folder.entries(folder)) {
      Matcher name = TEMPORARY.matcher(entry.getFileName().toString());
      if (name.matches() && ProcessHandle.of(Long.parseLong(name.group(1))).isEmpty()) {
        Files.deleteIfExists(entry);
      }
    }
  }

  /** The storage error (exit code 5) for a file that could not be written. */
  public static UserException unwritable(Path target, IOException cause) {
    return UserException.storage(
        cause,
        "cannot write %s (%s): free some space or choose another folder",
        target,
        IoReason.of(cause));
  }
}
