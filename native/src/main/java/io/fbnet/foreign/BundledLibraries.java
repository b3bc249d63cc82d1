package io.fbnet.foreign;

import java.io.IOException;
import java.io.InputStream;
import java.net.JarURLConnection;
import java.net.URL;
import java.net.URLConnection;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;

/**
 * Copies native libraries that travel inside a jar to a folder they can be loaded from. A copy is
 * kept for the next start under a name that holds the entry's checksum and size.
 */
final class BundledLibraries {
  private BundledLibraries() {}

  /** The user's cache, or the system's folder for temporary files where there is none. */
  static Path cacheFolder() {
    String cache = System.getenv("XDG_CACHE_HOME");
    Path base =
        cache != null && !cache.isBlank()
            ? Path.of(cache)
            : Path.of(System.getProperty("user.home", "."), ".cache");
    Path folder = base.resolve("fbnet-engine").resolve("native");
    try {
      Files.createDirectories(folder);
      if (Files.isWritable(folder)) {
        return folder;
      }
    } catch (IOException unwritable) {
      // The temporary folder below serves; the cost is one copy a start.
    }
    return Path.of(System.getProperty("java.io.tmpdir"), "fbnet-engine-native");
  }

  /**
   * Copies the resource to the cache unless it is there.
   *
   * @param resource the resource's full name
   * @return the file, or null where the class path has no such resource
   */
  static Path extract(String resource) throws IOException {
    URL url = BundledLibraries.class.getClassLoader().getResource(resource);
    if (url == null) {
      return null;
    }
    URLConnection connection = url.openConnection();
    long size = connection.getContentLengthLong();
    String stamp = Long.toString(size);
    if (connection instanceof JarURLConnection jar && jar.getJarEntry() != null) {
      stamp = Long.toHexString(jar.getJarEntry().getCrc()) + "-" + size;
    }
    Path folder = cacheFolder().resolve(stamp);
    Path file = folder.resolve(resource.substring(resource.lastIndexOf('/') + 1));
    if (Files.isRegularFile(file) && Files.size(file) == size) {
      return file;
    }
    Files.createDirectories(folder);
    Path part = Files.createTempFile(folder, "part", ".so");
    try (InputStream in = connection.getInputStream()) {
      Files.copy(in, part, StandardCopyOption.REPLACE_EXISTING);
      Files.move(part, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    } finally {
      Files.deleteIfExists(part);
    }
    return file;
  }
}
