package io.fbnet.foreign;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.SymbolLookup;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Looks for a CUDA library under its names in the usual places: folders of the variable {@code
 * FBNET_CUDA_PATH}, the system's own search path, {@code CUDA_HOME}, and the toolkit's folder.
 */
@SuppressWarnings("restricted")
final class LibrarySearch {
  /** Folders to look in first, separated as in PATH; Python's {@code site-packages/nvidia} too. */
  static final String VARIABLE = "FBNET_CUDA_PATH";

  /**
   * What was found.
   *
   * @param symbols the library's symbols, null where it was not found
   * @param name the file or name that was loaded
   * @param tried every name tried, with what came of it
   */
  record Found(SymbolLookup symbols, String name, List<String> tried) {}

  private final Map<String, String> environment;
  private final Path root;

  LibrarySearch(Map<String, String> environment, Path root) {
    this.environment = environment;
    this.root = root;
  }

  static LibrarySearch ofThisProcess() {
    return new LibrarySearch(System.getenv(), Path.of("/"));
  }

  /** Tries each name in each place; the first that loads is taken. */
  Found find(List<String> sonames) {
    return find(sonames, "");
  }

  /**
   * The same for a library that opens others by their bare names while it runs.
   *
   * @param companions pattern of files that are loaded first from the same folder, empty for none
   */
  Found find(List<String> sonames, String companions) {
    List<String> tried = new ArrayList<>();
    for (Path folder : folders(environment.get(VARIABLE))) {
      SymbolLookup symbols = inFolder(folder, sonames, companions, tried);
      if (symbols != null) {
        return new Found(symbols, folder.toString(), tried);
      }
    }
    for (String soname : sonames) {
      try {
        SymbolLookup symbols = SymbolLookup.libraryLookup(soname, Arena.global());
        tried.add(soname + ": loaded");
        return new Found(symbols, soname, tried);
      } catch (IllegalArgumentException e) {
        tried.add(soname + " on the system's search path: not there");
      }
    }
    Set<Path> usual = new LinkedHashSet<>();
    usual.addAll(folders(environment.get("CUDA_HOME")));
    usual.addAll(folders(environment.get("CUDA_PATH")));
    usual.addAll(toolkits());
    for (Path folder : usual) {
      SymbolLookup symbols = inFolder(folder, sonames, companions, tried);
      if (symbols != null) {
        return new Found(symbols, folder.toString(), tried);
      }
    }
    return new Found(null, "", tried);
  }

  private static SymbolLookup inFolder(
      Path folder, List<String> sonames, String companions, List<String> tried) {
    for (String soname : sonames) {
      Path file = folder.resolve(soname);
      if (Files.exists(file)) {
        try {
          for (Path companion :
              companions.isEmpty() ? List.<Path>of() : below(folder, companions)) {
            SymbolLookup.libraryLookup(companion.toAbsolutePath(), Arena.global());
          }
          SymbolLookup symbols = SymbolLookup.libraryLookup(file.toAbsolutePath(), Arena.global());
          tried.add(file + ": loaded");
          return symbols;
        } catch (IllegalArgumentException e) {
          tried.add(file + ": does not load");
        }
      }
    }
    return null;
  }

  /** Each folder of a list, and the places below it where libraries lie. */
  private static List<Path> folders(String list) {
    List<Path> result = new ArrayList<>();
    if (list == null) {
      return result;
    }
    for (String entry : list.split(java.io.File.pathSeparator, -1)) {
      if (!entry.isBlank()) {
        Path folder = Path.of(entry);
        result.add(folder);
        result.add(folder.resolve("lib64"));
        result.add(folder.resolve("lib"));
        below(folder, "*").forEach(p -> result.add(p.resolve("lib")));
      }
    }
    return result;
  }

  private List<Path> toolkits() {
    List<Path> result = new ArrayList<>();
    Path local = root.resolve("usr").resolve("local");
    for (Path toolkit : below(local, "cuda*")) {
      result.add(toolkit.resolve("lib64"));
      result.add(toolkit.resolve("targets").resolve("x86_64-linux").resolve("lib"));
    }
    return result;
  }

  private static List<Path> below(Path folder, String pattern) {
    List<Path> result = new ArrayList<>();
    if (!Files.isDirectory(folder)) {
      return result;
    }
    try (DirectoryStream<Path> entries = Files.newDirectoryStream(folder, pattern)) {
      entries.forEach(result::add);
    } catch (IOException unreadable) {
      // A folder that cannot be listed holds nothing for us.
    }
    result.sort(null);
    return result;
  }
}
