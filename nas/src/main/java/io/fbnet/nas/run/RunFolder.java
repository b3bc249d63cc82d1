package io.fbnet.nas.run;

import io.fbnet.nas.ExitCode;
import io.fbnet.nas.UserException;
import io.fbnet.nas.file.AtomicFile;
import io.fbnet.nas.file.Folder;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/**
 * The folder of one run, held by one process at a time: the lock goes with the process, however it
 * ends, so a killed run never leaves its folder locked.
 */
public final class RunFolder implements AutoCloseable {
  private static final String LOCK = ".lock";

  /** The name of a run's trained network. */
  public static final String MODEL = "model.safetensors";

  /**
   * The folders that this process holds. A second channel on a lock file must not even be opened:
   * closing it would release the first one's lock, as POSIX has it.
   */
  private static final Set<String> HELD_HERE = ConcurrentHashMap.newKeySet();

  private static final List<String> BEGINNING =
      List.of(
          RunFiles.CONFIG,
          RunFiles.SPACE,
          RunFiles.LATENCY,
          RunFiles.ARCHITECTURE,
          RunFiles.FROM,
          RunFiles.RECIPE);

  private final Path root;
  private final String key;
  private final FileChannel channel;
  private final FileLock lock;

  private RunFolder(Path root, String key, FileChannel channel, FileLock lock) {
    this.root = root;
    this.key = key;
    this.channel = channel;
    this.lock = lock;
  }

  /**
   * Makes a new run's folder and locks it. An existing folder must be empty, or hold nothing but
   * what a run left that was killed before it could be resumed.
   *
   * @param root the folder
   * @return the locked folder; the caller closes it
   * @throws UserException (exit code 2) if something is there already, (exit code 5) if it cannot
   *     be made or another process is making it
   */
  public static RunFolder create(Path root) {
    requireNew(root);
    try {
      Files.createDirectories(root);
      RunFolder folder = lock(root);
      try {
        // Again, because another process may have been quicker.
        requireEmpty(root);
        return folder;
      } catch (UserException e) {
        folder.close();
        throw e;
      }
    } catch (IOException e) {
      throw AtomicFile.unwritable(root, e);
    }
  }

  /**
   * Refuses what {@link #create} would refuse, and makes nothing.
   *
   * @param root the folder
   * @throws UserException (exit code 2) if something is there already, (exit code 5) if it cannot
   *     be looked at
   */
  public static void requireNew(Path root) {
    if (!Files.exists(root)) {
      return;
    }
    if (!Files.isDirectory(root)) {
      throw UserException.usage("%s is a file: name a new folder for the run", root);
    }
    try {
      requireEmpty(root);
    } catch (IOException e) {
      throw AtomicFile.unwritable(root, e);
    }
  }

  private static void requireEmpty(Path root) throws IOException {
    List<String> names =
        Folder.entries(root).stream().map(entry -> entry.getFileName().toString()).toList();
    if (names.contains(RunFiles.CONFIG)) {
      throw UserException.usage(
          "%s already holds a run, which is never overwritten: resume it or name a new folder",
          root);
    }
    for (String name : names) {
      if (!names.contains(LOCK) || !isOfABeginning(name)) {
        throw UserException.usage(
            "%s is not empty (it holds %s): name a new folder for the run", root, name);
      }
    }
  }

  /**
   * Locks the folder of an existing run.
   *
   * @param root the folder
   * @return the locked folder; the caller closes it
   * @throws UserException (exit code 2) if it holds no run, (exit code 5) if it is in use already
   *     or cannot be locked
   */
  public static RunFolder open(Path root) {
    return lock(RunFiles.existing(root).root());
  }

  /**
   * {@return a run's folder for a rank that writes nothing, beside the one that holds it}
   *
   * @param root the folder
   */
  public static RunFolder beside(Path root) {
    return new RunFolder(root, null, null, null);
  }

  /** Whether a run writes it before its configuration makes it one. */
  private static boolean isOfABeginning(String name) {
    return name.equals(LOCK)
        || BEGINNING.stream().anyMatch(file -> name.equals(file) || name.startsWith("." + file));
  }

  private static RunFolder lock(Path root) {
    Path path = root.resolve(LOCK);
    FileChannel channel = null;
    String key = null;
    try {
      key = root.toRealPath().toString();
      if (!HELD_HERE.add(key)) {
        key = null;
        throw inUse(root, "this process");
      }
      channel =
          FileChannel.open(
              path, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
      FileLock lock = channel.tryLock();
      if (lock == null) {
        throw inUse(root, "process " + Files.readString(path).strip());
      }
      byte[] holder = Long.toString(ProcessHandle.current().pid()).getBytes(StandardCharsets.UTF_8);
      AtomicFile.removeLeftBehind(root);
      channel.truncate(0);
      channel.write(ByteBuffer.wrap(holder), 0);
      RunFolder folder = new RunFolder(root, key, channel, lock);
      channel = null;
      key = null;
      return folder;
    } catch (IOException e) {
      throw AtomicFile.unwritable(path, e);
    } finally {
      closeQuietly(channel);
      if (key != null) {
        HELD_HERE.remove(key);
      }
    }
  }

  /**
   * {@return whether a run's folder is held, by this process or another}
   *
   * @param root the folder of a run
   * @throws UserException (exit code 5) if that cannot be found out
   */
  public static boolean isHeld(Path root) {
    Path path = root.resolve(LOCK);
    if (!Files.exists(path)) {
      return false;
    }
    try {
      if (HELD_HERE.contains(root.toRealPath().toString())) {
        return true;
      }
      try (FileChannel channel =
              FileChannel.open(path, StandardOpenOption.READ, StandardOpenOption.WRITE);
          FileLock lock = channel.tryLock()) {
        return lock == null;
      }
    } catch (IOException e) {
      throw AtomicFile.unwritable(path, e);
    }
  }

  private static UserException inUse(Path root, String holder) {
    return new UserException(
        ExitCode.STORAGE,
        String.format(
            Locale.ROOT, "%s is in use by %s: wait for it or name another folder", root, holder));
  }

  private static void closeQuietly(FileChannel channel) {
    if (channel != null) {
      try {
        channel.close();
      } catch (IOException e) {
        // The lock goes with the channel or, at the latest, with the process.
      }
    }
  }

  /** {@return the folder itself} */
  public Path root() {
    return root;
  }

  /** {@return where its files lie} */
  public RunFiles files() {
    return new RunFiles(root);
  }

  /** {@return the resolved configuration; see {@link RunFiles#config}} */
  public Path config() {
    return files().config();
  }

  /** {@return the run's latency table; see {@link RunFiles#latency}} */
  public Path latency() {
    return files().latency();
  }

  /** {@return the record of steps and epochs, a {@link MetricsLog}} */
  public Path metrics() {
    return files().metrics();
  }

  /** The folder of {@link Checkpoints}. */
  Path checkpointsFolder() {
    return files().checkpoints();
  }

  /**
   * {@return the run's checkpoints}
   *
   * @param keep how many to keep, at least {@value Checkpoints#LEAST_KEPT}
   * @throws IllegalArgumentException if fewer are to be kept
   */
  public Checkpoints checkpoints(int keep) {
    return new Checkpoints(checkpointsFolder(), keep);
  }

  /** {@return the file of the run's result, an architecture} */
  public Path architecture() {
    return files().architecture();
  }

  /** {@return the file of the trained network; see the model files of {@code docs/formats.md}} */
  public Path model() {
    return root.resolve(MODEL);
  }

  /** Releases the lock; harmless a second time. A folder that never became a run goes. */
  @Override
  public void close() {
    if (lock == null) {
      return;
    }
    if (lock.isValid() && !Files.exists(config())) {
      try {
        List<Path> entries = Folder.entries(root);
        if (entries.stream().allMatch(entry -> isOfABeginning(entry.getFileName().toString()))) {
          for (Path entry : entries) {
            if (!entry.getFileName().toString().equals(LOCK)) {
              Files.delete(entry);
            }
          }
          Files.delete(root.resolve(LOCK));
          Files.delete(root);
        }
      } catch (IOException e) {
        // What is left is in nobody's way: a run may be begun in it.
      }
    }
    try {
      if (lock.isValid()) {
        lock.release();
        HELD_HERE.remove(key);
      }
    } catch (IOException e) {
      // It goes with the channel.
      HELD_HERE.remove(key);
    }
    closeQuietly(channel);
  }
}
