package io.fbnet.foreign;

import java.io.IOException;
import java.io.InputStream;
import java.net.JarURLConnection;
import java.net.URL;
import java.net.URLConnection;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.UUID;
import java.util.zip.CRC32;

/**
 * Copies native libraries that travel inside a jar to a folder they can be loaded from. A copy is
 * kept for the next start under a name that holds the entry's checksum and size.
 *
 * <p>What is loaded runs with all the user's rights. So a copy lies in a folder that nobody else
 * can write to, and no folder is used that somebody else could ever write to before; its checksum
 * is compared with the jar's before every load, which then only has damage to find, and a damaged
 * copy is made anew.
 */
final class BundledLibraries {
  private BundledLibraries() {}

  /** The user's cache, then the system's folder for temporary files, under the user's own name. */
  static List<Path> folders() {
    String cache = System.getenv("XDG_CACHE_HOME");
    String home = System.getProperty("user.home", "");
    Path base =
        cache != null && !cache.isBlank()
            ? Path.of(cache)
            : Path.of(home.isBlank() ? "." : home, ".cache");
    return List.of(
        base.resolve("fbnet-engine").resolve("native"),
        Path.of(
            System.getProperty("java.io.tmpdir"),
            "fbnet-engine-native-" + System.getProperty("user.name", "")));
  }

  /**
   * Copies the resource to the first of the usual folders that is the user's alone, unless it is
   * there.
   *
   * @param resource the resource's full name
   * @return the file, or null where the class path has no such resource
   * @throws IOException that says of every folder why it cannot serve
   */
  static Path extract(String resource) throws IOException {
    return extract(resource, folders());
  }

  /** The same with other folders. */
  static Path extract(String resource, List<Path> folders) throws IOException {
    URL url = BundledLibraries.class.getClassLoader().getResource(resource);
    if (url == null) {
      return null;
    }
    if (!(url.openConnection() instanceof JarURLConnection jar)) {
      throw new IOException(url + " is not in a jar, whose checksum it could be compared with");
    }
    StringBuilder refused = new StringBuilder();
    for (Path folder : folders) {
      try {
        return extract(jar, folder, resource.substring(resource.lastIndexOf('/') + 1));
      } catch (IOException e) {
        refused.append(refused.isEmpty() ? "" : "; ").append(said(e));
      }
    }
    throw new IOException(
        "it cannot be unpacked: " + refused + "; set XDG_CACHE_HOME to a folder of your own");
  }

  private static Path extract(JarURLConnection jar, Path base, String name) throws IOException {
    long size = jar.getJarEntry().getSize();
    long checksum = jar.getJarEntry().getCrc();
    PrivateFolder.make(base);
    Path folder = PrivateFolder.make(base.resolve(Long.toHexString(checksum) + "-" + size));
    Path file = folder.resolve(name);
    if (isWhole(file, size, checksum)) {
      return file;
    }
    // Named here, so that it is removed even where only closing it failed.
    Path part = folder.resolve("part" + UUID.randomUUID() + ".so");
    try {
      // A connection gives its stream once; the next file of the list asks again.
      URLConnection again = jar.getURL().openConnection();
      try (InputStream in = again.getInputStream()) {
        Files.copy(in, part);
      }
      if (!isWhole(part, size, checksum)) {
        throw new IOException(jar.getURL() + " is damaged: its checksum is not the jar's");
      }
      Files.move(part, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    } finally {
      Files.deleteIfExists(part);
    }
    return file;
  }

  private static boolean isWhole(Path file, long size, long checksum) throws IOException {
    if (!Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS) || Files.size(file) != size) {
      return false;
    }
    CRC32 sum = new CRC32();
    // Read, not mapped: to map a hundred megabytes page by page takes several times as long.
    ByteBuffer buffer = ByteBuffer.allocateDirect(1 << 20);
    try (FileChannel channel = FileChannel.open(file)) {
      while (channel.read(buffer) >= 0) {
        sum.update(buffer.flip());
        buffer.clear();
      }
    }
    return sum.getValue() == checksum;
  }

  private static String said(IOException e) {
    return e.getClass() == IOException.class ? e.getMessage() : e.toString();
  }
}
