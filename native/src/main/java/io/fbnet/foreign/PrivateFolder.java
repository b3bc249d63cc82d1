package io.fbnet.foreign;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFileAttributes;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;

/**
 * Folders that nobody but the user can write to. A library or kernel that is loaded from elsewhere
 * may be anybody's program.
 */
public final class PrivateFolder {
  private static final FileAttribute<Set<PosixFilePermission>> OWNER_ONLY =
      PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------"));
  private static final Set<PosixFilePermission> OTHERS_WRITE =
      EnumSet.of(PosixFilePermission.GROUP_WRITE, PosixFilePermission.OTHERS_WRITE);

  private PrivateFolder() {}

  /**
   * Makes a folder and what is missing above it. One that is there and the user's, but that others
   * may write to, is emptied and closed to them.
   *
   * @throws IOException whose message says whose it is, or why it cannot be made
   */
  public static Path make(Path folder) throws IOException {
    Files.createDirectories(folder.toAbsolutePath(), OWNER_ONLY);
    PosixFileAttributes attributes =
        Files.readAttributes(folder, PosixFileAttributes.class, LinkOption.NOFOLLOW_LINKS);
    // A link of the user's own may lead anywhere; what counts is whose the folder is.
    boolean link = attributes.isSymbolicLink();
    requireUsers(folder, attributes);
    if (link) {
      attributes = Files.readAttributes(folder, PosixFileAttributes.class);
      requireUsers(folder, attributes);
    }
    Set<PosixFilePermission> permissions = EnumSet.copyOf(attributes.permissions());
    if (permissions.removeAll(OTHERS_WRITE)) {
      Files.setPosixFilePermissions(folder, permissions);
      empty(folder);
    }
    if (!Files.isWritable(folder)) {
      throw new IOException(folder + " is not writable");
    }
    return folder;
  }

  private static void requireUsers(Path folder, PosixFileAttributes attributes) throws IOException {
    String owner = attributes.owner().getName();
    String user = System.getProperty("user.name", "");
    if (!owner.equals(user)) {
      throw new IOException(
          folder + " belongs to the user " + owner + ", not to " + user + ", and is not used");
    }
  }

  private static void empty(Path folder) throws IOException {
    List<Path> entries;
    try (Stream<Path> list = Files.list(folder)) {
      entries = list.toList();
    }
    for (Path entry : entries) {
      if (Files.isDirectory(entry, LinkOption.NOFOLLOW_LINKS)) {
        empty(entry);
      }
      Files.delete(entry);
    }
  }
}
