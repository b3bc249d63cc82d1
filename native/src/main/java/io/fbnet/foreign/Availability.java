package io.fbnet.foreign;

import java.util.List;

/**
 * Whether a native library can be used here: a described value, never an error thrown while a class
 * loads.
 *
 * @param library the library's name
 * @param found whether it can be used
 * @param version its version where found, empty otherwise
 * @param tried the files or names that were looked for, in order, each with what came of it
 * @param remedy what the user can do where it is missing, empty otherwise
 */
public record Availability(
    String library, boolean found, String version, List<String> tried, String remedy) {
  public Availability {
    tried = List.copyOf(tried);
  }

  static Availability found(String library, String version, List<String> tried) {
    return new Availability(library, true, version, tried, "");
  }

  static Availability missing(String library, List<String> tried, String remedy) {
    return new Availability(library, false, "", tried, remedy);
  }
}
