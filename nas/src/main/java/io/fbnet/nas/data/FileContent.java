package io.fbnet.nas.data;

import io.fbnet.nas.UserException;
import io.fbnet.nas.file.IoReason;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.zip.GZIPInputStream;

/** Whole files, unpacked where they are gzip. */
final class FileContent {
  private FileContent() {}

  /** The bytes of a file, unpacked if they are gzip whatever the name says. */
  static byte[] readInflated(Path file) {
    byte[] content = read(file);
    if (content.length < 2 || content[0] != 0x1f || content[1] != (byte) 0x8b) {
      return content;
    }
    try (GZIPInputStream unpacked = new GZIPInputStream(new ByteArrayInputStream(content))) {
      return unpacked.readAllBytes();
    } catch (IOException e) {
      throw UserException.data(
          "%s is a truncated or corrupt gzip file (%s); fetch it again.", file, IoReason.of(e));
    } catch (OutOfMemoryError e) {
      // A small file can unpack to a thousand times its size.
      throw UserException.data(
          "%s unpacks to more than there is memory for; fetch it again, or give Java more with"
              + " -Xmx.",
          file);
    }
  }

  static byte[] read(Path file) {
    try {
      return Files.readAllBytes(file);
    } catch (IOException e) {
      throw UserException.data("%s cannot be read: %s.", file, IoReason.of(e));
    } catch (OutOfMemoryError e) {
      // Thrown by readAllBytes for a file of 2 GB or more, before anything is allocated.
      throw UserException.data("%s is too large to be read at once.", file);
    }
  }
}
