package io.fbnet.foreign;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** Nothing is loaded that somebody else may have written, nor anything damaged. */
@EnabledOnOs(OS.LINUX)
class BundledLibrariesTest {
  private static final String LIBRARY = "org/bytedeco/dnnl/linux-x86_64/libgomp.so.1";

  @TempDir Path folder;

  private static byte[] original() throws IOException {
    try (InputStream in =
        BundledLibrariesTest.class.getClassLoader().getResourceAsStream(LIBRARY)) {
      return in.readAllBytes();
    }
  }

  private static String permissions(Path path) throws IOException {
    return PosixFilePermissions.toString(Files.getPosixFilePermissions(path));
  }

  @Test
  void aCopyLiesInAFolderOfTheUsersAlone() throws IOException {
    Path base = folder.resolve("cache").resolve("native");
    Path copy = BundledLibraries.extract(LIBRARY, List.of(base));
    assertArrayEquals(original(), Files.readAllBytes(copy));
    assertEquals("rwx------", permissions(base));
    assertEquals("rwx------", permissions(copy.getParent()));
    var before = Files.getLastModifiedTime(copy);
    assertEquals(copy, BundledLibraries.extract(LIBRARY, List.of(base)));
    assertEquals(before, Files.getLastModifiedTime(copy), "a whole copy is not made again");
  }

  @Test
  void aDamagedCopyIsMadeAnew() throws IOException {
    Path copy = BundledLibraries.extract(LIBRARY, List.of(folder));
    byte[] whole = original();
    byte[] flipped = whole.clone();
    flipped[whole.length / 2] ^= 1;
    for (byte[] damaged : new byte[][] {new byte[whole.length], flipped, new byte[0]}) {
      Files.write(copy, damaged);
      assertEquals(copy, BundledLibraries.extract(LIBRARY, List.of(folder)));
      assertArrayEquals(whole, Files.readAllBytes(copy));
    }
    Files.delete(copy);
    Path elsewhere = Files.write(folder.resolve("elsewhere"), whole);
    Files.createSymbolicLink(copy, elsewhere);
    BundledLibraries.extract(LIBRARY, List.of(folder));
    assertFalse(Files.isSymbolicLink(copy));
  }

  @Test
  void whatOthersCouldWriteToIsEmptied() throws IOException {
    Path copy = BundledLibraries.extract(LIBRARY, List.of(folder.resolve("native")));
    Path base = copy.getParent().getParent();
    Path planted = Files.write(copy.getParent().resolve("planted.so"), original());
    Files.setPosixFilePermissions(base, PosixFilePermissions.fromString("rwxrwxrwx"));
    BundledLibraries.extract(LIBRARY, List.of(base));
    assertFalse(Files.exists(planted));
    assertEquals("rwxr-xr-x", permissions(base));
    assertArrayEquals(original(), Files.readAllBytes(copy));
  }

  @Test
  void anotherUsersFolderIsRefusedAndTheNextServes() throws IOException {
    Path others = Files.createDirectories(folder.resolve("others"));
    if (System.getProperty("user.name").equals("root")) {
      var lookup = others.getFileSystem().getUserPrincipalLookupService();
      Files.setOwner(others, lookup.lookupPrincipalByName("nobody"));
    } else {
      others = Path.of("/usr");
    }
    assumeTrue(!Files.getOwner(others).getName().equals(System.getProperty("user.name")));
    Path refused = others;
    IOException e =
        assertThrows(IOException.class, () -> BundledLibraries.extract(LIBRARY, List.of(refused)));
    assertTrue(e.getMessage().contains(others + " belongs to the user "), e.getMessage());
    assertTrue(e.getMessage().contains("XDG_CACHE_HOME"), e.getMessage());
    Path next = folder.resolve("next");
    Path copy = BundledLibraries.extract(LIBRARY, List.of(others, next));
    assertTrue(copy.startsWith(next), copy.toString());
  }

  @Test
  void theUsualFoldersNameTheUser() {
    List<Path> folders = BundledLibraries.folders();
    assertTrue(folders.getFirst().endsWith(Path.of("fbnet-engine", "native")));
    assertTrue(folders.getLast().toString().endsWith("-" + System.getProperty("user.name")));
  }
}
