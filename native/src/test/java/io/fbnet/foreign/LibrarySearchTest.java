package io.fbnet.foreign;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.File;
import java.io.IOException;
import java.lang.foreign.FunctionDescriptor;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Where CUDA's libraries are looked for, and what is said when they are not there. */
class LibrarySearchTest {
  private static final String SONAME = "libfbnet-test.so.13";
  private static final String OLDER = "libfbnet-test.so.12";

  /** A small library that needs nothing but the C library. */
  private static final Path SAMPLE =
      Path.of(System.getProperty("java.home"), "lib", "libsyslookup.so");

  @TempDir private Path folder;
  private final Map<String, String> environment = new HashMap<>();

  @BeforeAll
  static void needsLibrary() {
    assumeTrue(Files.exists(SAMPLE), "this JDK has no " + SAMPLE);
  }

  private Path library(String place, String soname) throws IOException {
    Path file = folder.resolve(place).resolve(soname);
    Files.createDirectories(file.getParent());
    Files.copy(SAMPLE, file);
    return file;
  }

  private LibrarySearch.Found find(String... sonames) {
    return new LibrarySearch(environment, folder.resolve("root")).find(List.of(sonames));
  }

  private void variable(String... folders) {
    List<String> paths = new ArrayList<>();
    for (String each : folders) {
      paths.add(each.isEmpty() ? "" : folder.resolve(each).toString());
    }
    environment.put(LibrarySearch.VARIABLE, String.join(File.pathSeparator, paths));
  }

  private static void assertLoaded(Path file, LibrarySearch.Found found) {
    assertNotNull(found.symbols(), found.tried().toString());
    assertEquals(file.getParent().toString(), found.name());
    assertEquals(file + ": loaded", found.tried().getLast());
  }

  /** Removes the first place's library again and again, so that the next place shows itself. */
  @Test
  void placesAreTriedInTheirOrder() throws IOException {
    List<Path> order = new ArrayList<>();
    for (String place :
        List.of(
            "first",
            "first/lib64",
            "first/lib",
            "first/cublas/lib",
            "first/cudnn/lib",
            "second",
            "home/lib64",
            "path/lib64",
            "root/usr/local/cuda-12.9/lib64",
            "root/usr/local/cuda-12.9/targets/x86_64-linux/lib",
            "root/usr/local/cuda-13.0/lib64")) {
      order.add(library(place, SONAME));
    }
    variable("first", "", "second");
    environment.put("CUDA_HOME", folder.resolve("home").toString());
    environment.put("CUDA_PATH", folder.resolve("path").toString());
    String system = SONAME + " on the system's search path: not there";
    for (Path expected : order) {
      LibrarySearch.Found found = find(SONAME);
      assertLoaded(expected, found);
      boolean afterTheSystem = order.indexOf(expected) >= 6;
      assertEquals(afterTheSystem, found.tried().contains(system), found.tried().toString());
      Files.delete(expected);
    }
    LibrarySearch.Found nothing = find(SONAME);
    assertNull(nothing.symbols());
    assertEquals(List.of(system), nothing.tried());
  }

  @Test
  void theSystemsOwnLibrariesNeedNoFolder() {
    LibrarySearch.Found found = find("libfbnet-none.so", "libc.so.6");
    assumeTrue(found.symbols() != null, () -> "no libc.so.6 here: " + found.tried());
    assertEquals("libc.so.6", found.name());
    assertEquals(
        List.of("libfbnet-none.so on the system's search path: not there", "libc.so.6: loaded"),
        found.tried());
  }

  @Test
  void aNearerFolderBeatsANewerVersion() throws IOException {
    Path older = library("first", OLDER);
    Path newer = library("second", SONAME);
    variable("first", "second");
    assertLoaded(older, find(SONAME, OLDER));
    Path beside = library("first", SONAME);
    assertLoaded(beside, find(SONAME, OLDER));
    variable("second");
    assertLoaded(newer, find(SONAME, OLDER));
  }

  @Test
  void aFileThatDoesNotLoadIsSaidAndPassedOver() throws IOException {
    Path broken = folder.resolve("first").resolve(SONAME);
    Files.createDirectories(broken.getParent());
    byte[] image = Files.readAllBytes(SAMPLE);
    // The field e_machine: a library for a processor that does not exist.
    image[18] = (byte) 0xff;
    Files.write(broken, image);
    Path good = library("second", SONAME);
    variable("first", "second");
    LibrarySearch.Found found = find(SONAME);
    assertEquals(List.of(broken + ": does not load", good + ": loaded"), found.tried());
    Files.delete(good);
    assertNull(find(SONAME).symbols());
    assertEquals(broken + ": does not load", find(SONAME).tried().getFirst());
  }

  @Test
  void foldersThatAreNotThereAreNoError() {
    variable("missing", "also missing");
    environment.put("CUDA_HOME", "");
    assertNull(find(SONAME).symbols());
  }

  @Test
  void aMissingLibraryIsDescribed() {
    NativeLibrary library =
        new NativeLibrary(
            "Test library",
            () -> List.of("libfbnet-none.so.1"),
            "",
            "install the test library",
            () -> {
              throw new AssertionError("the class of raw handles was touched");
            },
            name -> "");
    Availability availability = library.load();
    assertFalse(availability.found());
    assertEquals("Test library", availability.library());
    assertEquals("install the test library", availability.remedy());
    assertEquals("", availability.version());
    String tried = String.join("\n", availability.tried());
    assertTrue(tried.contains("libfbnet-none.so.1 on the system's search path: not there"), tried);
    IllegalStateException e = assertThrows(IllegalStateException.class, library::require);
    assertEquals("Test library is not available: install the test library", e.getMessage());
  }

  private static Availability ofC(String function, RuntimeException noVersion) {
    NativeLibrary[] library = new NativeLibrary[1];
    library[0] =
        new NativeLibrary(
            "C library",
            () -> List.of("libc.so.6"),
            "",
            "install another C library",
            () -> {
              Binder binder = library[0].binder();
              binder.function(function, FunctionDescriptor.ofVoid());
              return binder;
            },
            name -> {
              if (noVersion != null) {
                throw noVersion;
              }
              return "of " + name;
            });
    return library[0].load();
  }

  @Test
  void aLibraryWithoutOurFunctionsIsMissing() {
    Availability complete = ofC("abort", null);
    assumeTrue(complete.found(), () -> "no libc.so.6 here: " + complete.tried());
    assertEquals("of libc.so.6", complete.version());
    assertEquals("", complete.remedy());
    Availability old = ofC("fbnet_is_new", null);
    assertFalse(old.found());
    assertEquals("functions not in it: fbnet_is_new", old.tried().getLast());
    assertEquals("install another C library", old.remedy());
  }

  /** A driver without a device, for example. */
  @Test
  void aLibraryThatDoesNotStartIsMissing() {
    Availability complete = ofC("abort", null);
    assumeTrue(complete.found(), () -> "no libc.so.6 here: " + complete.tried());
    Availability broken = ofC("abort", new ForeignException("start", 7, "BROKEN", ""));
    assertFalse(broken.found());
    assertEquals("start returned 7 (BROKEN)", broken.tried().getLast());
  }
}
