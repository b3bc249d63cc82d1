package io.fbnet.foreign;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** Finds, unpacks and loads oneDNN once a process. */
@SuppressWarnings("restricted")
final class DnnlLibrary {
  private static final String FOLDER = "org/bytedeco/dnnl/linux-x86_64/";
  private static final String REMEDY =
      "put org.bytedeco:dnnl:3.13-1.5.14:linux-x86_64 on the class path (the runnable jar has it)"
          + " on Linux x86-64; elsewhere the reference back end serves, slowly";

  private static Availability availability;
  private static SymbolLookup lookup;

  private DnnlLibrary() {}

  /** Loads the library on the first call; later calls return what the first one found. */
  static synchronized Availability load() {
    if (availability == null) {
      availability = tryLoad();
    }
    return availability;
  }

  static synchronized SymbolLookup symbols() {
    return lookup;
  }

  private static Availability tryLoad() {
    List<String> tried = new ArrayList<>();
    String system = System.getProperty("os.name") + " " + System.getProperty("os.arch");
    String name = system.toLowerCase(Locale.ROOT);
    if (!name.startsWith("linux") || !(name.endsWith("amd64") || name.endsWith("x86_64"))) {
      tried.add("bundled binaries: none for " + system);
      return Availability.missing("oneDNN", tried, REMEDY);
    }
    try {
      // libgomp spins by default while it waits; beside any other work that costs far more than it
      // saves. It reads its environment when it is loaded, so this must come first.
      setEnvironmentIfAbsent("OMP_WAIT_POLICY", "passive");
      Path gomp = BundledLibraries.extract(FOLDER + "libgomp.so.1");
      Path dnnl = BundledLibraries.extract(FOLDER + "libdnnl.so.3");
      if (gomp == null || dnnl == null) {
        tried.add("class path resource " + FOLDER + "libdnnl.so.3: not there");
        return Availability.missing("oneDNN", tried, REMEDY);
      }
      SymbolLookup first = SymbolLookup.libraryLookup(gomp, Arena.global());
      SymbolLookup second = SymbolLookup.libraryLookup(dnnl, Arena.global());
      lookup = second.or(first);
      tried.add(dnnl + ": loaded");
      List<String> missing = DnnlSymbols.missing(lookup);
      if (!missing.isEmpty()) {
        tried.add("symbols not in it: " + String.join(", ", missing));
        return Availability.missing("oneDNN", tried, "use oneDNN 3.x: " + REMEDY);
      }
      return Availability.found("oneDNN", Dnnl.versionOf(), tried);
    } catch (IOException | IllegalArgumentException e) {
      tried.add(FOLDER + "libdnnl.so.3: " + e.getMessage());
      return Availability.missing("oneDNN", tried, REMEDY);
    }
  }

  private static void setEnvironmentIfAbsent(String name, String value) {
    Linker linker = Linker.nativeLinker();
    MethodHandle setenv =
        linker.downcallHandle(
            linker.defaultLookup().find("setenv").orElseThrow(),
            FunctionDescriptor.of(
                ValueLayout.JAVA_INT,
                ValueLayout.ADDRESS,
                ValueLayout.ADDRESS,
                ValueLayout.JAVA_INT));
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment n = arena.allocateFrom(name);
      MemorySegment v = arena.allocateFrom(value);
      int ignored = (int) setenv.invokeExact(n, v, 0);
      if (ignored != 0) {
        throw new IllegalArgumentException("setenv " + name + " returned " + ignored);
      }
    } catch (RuntimeException e) {
      throw e;
    } catch (Throwable t) {
      throw new LinkageError("setenv", t);
    }
  }
}
