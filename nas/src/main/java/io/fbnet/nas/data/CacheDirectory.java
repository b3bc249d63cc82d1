package io.fbnet.nas.data;

import java.nio.file.Path;
import java.util.Map;

/** Where this program keeps what can be made again. */
public final class CacheDirectory {
  private CacheDirectory() {}

  /**
   * {@return {@code $XDG_CACHE_HOME/fbnet-engine}, else {@code ~/.cache/fbnet-engine}; it need not
   * exist}
   *
   * @param environment variables by name, such as those of {@link System#getenv()}
   */
  public static Path ofUser(Map<String, String> environment) {
    String base = environment.getOrDefault("XDG_CACHE_HOME", "");
    // The specification says to ignore a relative path.
    Path cache =
        !base.isEmpty() && Path.of(base).isAbsolute()
            ? Path.of(base)
            : Path.of(System.getProperty("user.home"), ".cache");
    return cache.resolve("fbnet-engine");
  }
}
