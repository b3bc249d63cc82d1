package io.fbnet.foreign;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;
import java.util.function.Supplier;

/**
 * A library of the system, such as CUDA's: found and loaded once a process, on the first question.
 */
final class NativeLibrary {
  /** NCCL's last error is the longest text that a library keeps. */
  private static final int LONGEST_TEXT = 1024;

  private final String name;
  private final Supplier<LibrarySearch.Found> search;
  private final String remedy;
  private final Supplier<Binder> raw;
  private final Function<String, String> version;
  private Availability availability;
  private SymbolLookup symbols;

  /**
   * Describes a CUDA library.
   *
   * @param sonames the names to look for, the best first
   * @param companions pattern of files beside it that must be loaded first, empty for none
   * @param raw touches the class of raw handles and gives its binder
   * @param version gives the version, from the name under which the library was found
   */
  NativeLibrary(
      String name,
      Supplier<List<String>> sonames,
      String companions,
      String remedy,
      Supplier<Binder> raw,
      Function<String, String> version) {
    this(
        name,
        () -> LibrarySearch.ofThisProcess().find(sonames.get(), companions),
        remedy,
        raw,
        version);
  }

  /**
   * Describes a library.
   *
   * @param search looks for it
   * @param raw touches the class of raw handles and gives its binder
   * @param version gives the version, from the name under which the library was found
   */
  NativeLibrary(
      String name,
      Supplier<LibrarySearch.Found> search,
      String remedy,
      Supplier<Binder> raw,
      Function<String, String> version) {
    this.name = name;
    this.search = search;
    this.remedy = remedy;
    this.raw = raw;
    this.version = version;
  }

  /** The symbols; only the class of raw handles asks, after {@link #load} has found them. */
  Binder binder() {
    return new Binder(name, symbols);
  }

  synchronized Availability load() {
    if (availability == null) {
      availability = tryLoad();
    }
    return availability;
  }

  /** Throws where the library is missing. */
  void require() {
    Availability result = load();
    if (!result.found()) {
      throw new IllegalStateException(name + " is not available: " + result.remedy());
    }
  }

  /** A text that a library keeps, such as an error's name; empty where it has none. */
  @SuppressWarnings("restricted")
  static String text(MemorySegment string) {
    return string.equals(MemorySegment.NULL) ? "" : string.reinterpret(LONGEST_TEXT).getString(0);
  }

  /** The version 91500 of cuDNN and cuBLASLt as 9.15.0. */
  static String version(long number) {
    return number / 10_000 + "." + number / 100 % 100 + "." + number % 100;
  }

  private Availability tryLoad() {
    LibrarySearch.Found found = search.get();
    List<String> tried = new ArrayList<>(found.tried());
    if (found.symbols() == null) {
      return Availability.missing(name, tried, remedy);
    }
    symbols = found.symbols();
    List<String> missing = raw.get().missing();
    if (!missing.isEmpty()) {
      tried.add("functions not in it: " + String.join(", ", missing));
      return Availability.missing(name, tried, remedy);
    }
    try {
      return Availability.found(name, version.apply(found.name()), tried);
    } catch (ForeignException e) {
      tried.add(e.getMessage());
      return Availability.missing(name, tried, remedy);
    }
  }
}
