package io.fbnet.bench;

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;

/** The size of the largest cache that the system tells of. */
final class LastLevelCache {
  private static final Path FOLDER = Path.of("/sys/devices/system/cpu/cpu0/cache");

  /** Where the system tells nothing, as in many containers: that of a large server. */
  private static final long ASSUMED = 64L << 20;

  private LastLevelCache() {}

  static long bytes() {
    long largest = 0;
    if (Files.isDirectory(FOLDER)) {
      try (DirectoryStream<Path> caches = Files.newDirectoryStream(FOLDER, "index*")) {
        for (Path cache : caches) {
          largest = Math.max(largest, parse(Files.readString(cache.resolve("size")).strip()));
        }
      } catch (IOException e) {
        largest = 0;
      }
    }
    return largest > 0 ? largest : ASSUMED;
  }

  /** A size as the kernel writes it, such as {@code 32768K}. */
  private static long parse(String size) {
    long number = Long.parseLong(size.replaceAll("\\D", ""));
    return size.endsWith("M") ? number << 20 : size.endsWith("K") ? number << 10 : number;
  }
}
