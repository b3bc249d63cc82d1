package io.fbnet.foreign;

import java.lang.foreign.Arena;
import java.lang.foreign.SymbolLookup;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * Looks for the MPI library of a launcher: where the variable {@code FBNET_MPI_PATH} says, and
 * nowhere else, or on the system's search path, to which {@code module load} and {@code
 * LD_LIBRARY_PATH} add.
 */
@SuppressWarnings("restricted")
final class MpiSearch {
  /** A file, or a folder that holds it by its own name or in lib or lib64. */
  static final String VARIABLE = "FBNET_MPI_PATH";

  /** Defined by every Open MPI: {@code MPI_COMM_WORLD} is its address. */
  static final String OPEN_MPI = "ompi_mpi_comm_world";

  /** Defined by whatever keeps MPICH's binary interface: its {@code MPI_DUP_FN}. */
  static final String MPICH = "MPIR_Dup_fn";

  private final Map<String, String> environment;
  private final MpiLauncher launcher;
  private final List<String> tried = new ArrayList<>();

  MpiSearch(Map<String, String> environment, MpiLauncher launcher) {
    this.environment = environment;
    this.launcher = launcher;
  }

  LibrarySearch.Found find() {
    String given = environment.get(VARIABLE);
    if (given != null && !given.isBlank()) {
      return inPath(Path.of(given));
    }
    LibrarySearch.Found first = new LibrarySearch.Found(null, "", tried);
    for (MpiLauncher.Library library : launcher.libraries()) {
      for (String soname : library.sonames()) {
        SymbolLookup symbols = load(soname);
        if (symbols == null) {
          continue;
        }
        if (first.symbols() != null) {
          tried.add(soname + ": there too, for whom " + library.title + "'s launcher starts");
        } else {
          tried.add(soname + ": loaded");
          first = new LibrarySearch.Found(symbols, soname, tried);
        }
        break;
      }
      // Who was started needs one; who asks what there is wants to know of both.
      if (first.symbols() != null && launcher.several()) {
        break;
      }
    }
    return first;
  }

  private SymbolLookup load(String soname) {
    try {
      return usable(soname, SymbolLookup.libraryLookup(soname, Arena.global()));
    } catch (IllegalArgumentException e) {
      tried.add(soname + " on the system's search path: not there");
      return null;
    }
  }

  private LibrarySearch.Found inPath(Path path) {
    List<Path> files = new ArrayList<>();
    if (Files.isDirectory(path)) {
      for (Path folder : List.of(path, path.resolve("lib"), path.resolve("lib64"))) {
        for (MpiLauncher.Library library : launcher.libraries()) {
          library.sonames().forEach(soname -> files.add(folder.resolve(soname)));
        }
      }
    } else {
      files.add(path);
    }
    for (Path file : files) {
      if (!Files.exists(file)) {
        continue;
      }
      try {
        SymbolLookup symbols =
            usable(
                file.toString(), SymbolLookup.libraryLookup(file.toAbsolutePath(), Arena.global()));
        if (symbols != null) {
          tried.add(file + ": loaded");
          return new LibrarySearch.Found(symbols, file.toString(), tried);
        }
      } catch (IllegalArgumentException e) {
        tried.add(file + ": does not load");
      }
    }
    if (tried.isEmpty()) {
      tried.add(VARIABLE + "=" + path + ": no library of " + titles(launcher) + " there");
    }
    return new LibrarySearch.Found(null, "", tried);
  }

  private SymbolLookup usable(String name, SymbolLookup symbols) {
    if (symbols.find(OPEN_MPI).isPresent() || symbols.find(MPICH).isPresent()) {
      return symbols;
    }
    tried.add(name + ": neither Open MPI nor of MPICH's binary interface");
    return null;
  }

  /** What can be done where none was found. */
  static String remedy(MpiLauncher launcher) {
    String packages =
        String.join(" or ", launcher.libraries().stream().map(library -> library.debian).toList());
    return "install "
        + titles(launcher)
        + " (Debian: "
        + packages
        + "), or load its module, or name the library's file or folder in "
        + VARIABLE
        + (launcher.several()
            ? "; it must be the one of " + launcher.name()
            : "; it is needed only where several processes train together");
  }

  private static String titles(MpiLauncher launcher) {
    return String.join(
        " or ", launcher.libraries().stream().map(library -> library.title).toList());
  }
}
