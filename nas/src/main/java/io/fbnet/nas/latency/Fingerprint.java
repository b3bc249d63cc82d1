package io.fbnet.nas.latency;

import java.util.Collections;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * Under what conditions a table was measured. A latency holds for these alone; a difference is
 * worth a warning.
 *
 * @param processor model of the CPU or GPU; empty if unknown
 * @param threads CPU threads; 0 if unknown or not a CPU
 * @param libraries versions by library name, such as oneDNN
 * @param precision such as f32; empty if unknown
 * @param batch images in one run
 * @param date ISO 8601 day or instant; empty if unknown
 */
public record Fingerprint(
    String processor,
    int threads,
    SortedMap<String, String> libraries,
    String precision,
    int batch,
    String date) {

  /**
   * Copies the map.
   *
   * @throws IllegalArgumentException if threads are negative or the batch is below 1
   */
  public Fingerprint {
    libraries = Collections.unmodifiableSortedMap(new TreeMap<>(libraries));
    if (threads < 0 || batch < 1) {
      throw new IllegalArgumentException("threads must not be negative, batch at least 1");
    }
  }

  /**
   * {@return a fingerprint, from a map in any order}
   *
   * @param processor model of the CPU or GPU; empty if unknown
   * @param threads CPU threads; 0 if unknown or not a CPU
   * @param libraries versions by library name
   * @param precision such as f32; empty if unknown
   * @param batch images in one run
   * @param date ISO 8601 day or instant; empty if unknown
   */
  public static Fingerprint of(
      String processor,
      int threads,
      Map<String, String> libraries,
      String precision,
      int batch,
      String date) {
    return new Fingerprint(processor, threads, new TreeMap<>(libraries), precision, batch, date);
  }
}
