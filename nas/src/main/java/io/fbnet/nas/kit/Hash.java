package io.fbnet.nas.kit;

import io.fbnet.nas.UserException;
import io.fbnet.nas.file.Sha256;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.security.DigestInputStream;
import java.security.MessageDigest;
import java.util.HexFormat;

/** SHA-256 of files, in lower-case hexadecimal. */
final class Hash {
  private Hash() {}

  /** The hash of a file; one that cannot be read is a data error (exit code 3). */
  static String of(Path file) {
    try (InputStream in = Files.newInputStream(file)) {
      MessageDigest digest = Sha256.digest();
      new DigestInputStream(in, digest).transferTo(OutputStream.nullOutputStream());
      return HexFormat.of().formatHex(digest.digest());
    } catch (NoSuchFileException e) {
      throw UserException.data("there is no file %s", file);
    } catch (IOException e) {
      throw UserException.data("%s cannot be read (%s)", file, e);
    }
  }
}
