package io.fbnet.nas.run;

import com.fasterxml.jackson.databind.JsonNode;
import io.fbnet.nas.ExitCode;
import io.fbnet.nas.UserException;
import io.fbnet.nas.file.AtomicFile;
import io.fbnet.nas.file.Folder;
import io.fbnet.nas.file.IoReason;
import io.fbnet.nas.file.Sha256;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The checkpoints of one run, each a folder {@code step-00001234} of tensor files and a manifest.
 * Whenever the process dies, {@link #newestValid} finds a whole one: files reach the disk before
 * the manifest that names their hashes, and an older checkpoint goes only after a newer one stands.
 */
public final class Checkpoints {
  /** With one alone, a bad sector costs the run. */
  public static final int LEAST_KEPT = 2;

  private static final Pattern FOLDER = Pattern.compile("step-(\\d{8,18})");

  private final Path folder;
  private final int keep;
  private final FaultPoint fault;

  /** Where tests make a write fail or stop. */
  @FunctionalInterface
  interface FaultPoint {
    void reached(String stage) throws IOException;
  }

  /**
   * The checkpoints in this folder, which need not exist yet.
   *
   * @param folder the folder
   * @param keep how many to keep, at least {@value #LEAST_KEPT}
   * @throws IllegalArgumentException if fewer are to be kept
   */
  public Checkpoints(Path folder, int keep) {
    this(folder, keep, stage -> {});
  }

  Checkpoints(Path folder, int keep, FaultPoint fault) {
    if (keep < LEAST_KEPT) {
      throw new IllegalArgumentException("keeps at least " + LEAST_KEPT + " checkpoints");
    }
    this.folder = folder;
    this.keep = keep;
    this.fault = fault;
  }

  /**
   * What to save.
   *
   * @param step optimiser steps done
   * @param epoch epochs done
   * @param phase where in the run, in its own words
   * @param files tensors by file name without ending, such as {@code weights}
   * @param environment conditions that decide the bits
   * @param data the fingerprint of the images
   * @param state anything else
   */
  public record Snapshot(
      long step,
      int epoch,
      String phase,
      Map<String, List<Tensor>> files,
      Map<String, String> environment,
      String data,
      JsonNode state) {}

  /**
   * A checkpoint that was found whole.
   *
   * @param folder where its files lie
   * @param manifest what it holds
   */
  public record Found(Path folder, Manifest manifest) {
    /**
     * Opens the tensors of one file.
     *
     * @param name they were saved under, without ending, such as {@code weights}
     * @return the open file; the caller closes it
     * @throws UserException (exit code 3) if there is none of this name, (exit code 5) if it cannot
     *     be read
     */
    public Safetensors.Reader open(String name) {
      return Safetensors.open(folder.resolve(name + ".safetensors"));
    }

    /**
     * {@return a number from 0 up in the run's own part of the manifest}
     *
     * @param name its key there
     * @param most the largest that can be
     * @throws UserException (exit code 3) if it is missing or no such number
     */
    public long count(String name, long most) {
      JsonNode value = manifest.state().path(name);
      if (!value.canConvertToLong()
          || !value.isIntegralNumber()
          || value.asLong() < 0
          || value.asLong() > most) {
        throw wrong(name);
      }
      return value.asLong();
    }

    /**
     * {@return what tells that the run's own part of the manifest is wrong: exit code 3}
     *
     * @param name the key there
     */
    public UserException wrong(String name) {
      return UserException.data(
          "%s: 'state.%s' is no place in a run to go on from; remove the folder to go on from the"
              + " checkpoint before it",
          folder.resolve(Manifest.FILE), name);
    }

    /**
     * {@return for each condition that differs between then and now, one sentence to warn with}
     *
     * @param environment the conditions of now; those that the checkpoint does not name are passed
     *     over
     */
    public List<String> differences(Map<String, String> environment) {
      List<String> sentences = new ArrayList<>();
      new TreeMap<>(environment)
          .forEach(
              (key, now) -> {
                String then = manifest.environment().get(key);
                if (then != null && !then.equals(now)) {
                  sentences.add(
                      String.format(
                          Locale.ROOT,
                          "the checkpoint was made with %s %s, now it is %s: the run goes on, but"
                              + " not bit for bit as it would have",
                          key,
                          then,
                          now));
                }
              });
      return sentences;
    }

    /**
     * Refuses to go on with other images: labels are positions in the classes, and what theta and w
     * learned of some images they would be scored with.
     *
     * @param fingerprint of the images of now
     * @param accepted whether the user said that they may differ
     * @param warnings told where they differ and that is accepted, or where it cannot be known
     * @throws UserException (exit code 3) where they differ
     */
    public void requireData(String fingerprint, boolean accepted, Consumer<String> warnings) {
      if (manifest.data().isEmpty()) {
        warnings.accept(
            "the checkpoint was written by an older version and does not say which images it was"
                + " made from: whether they are the same cannot be checked");
      } else if (!manifest.data().equals(fingerprint)) {
        if (!accepted) {
          throw UserException.data(
              "the data has changed since the checkpoint %s was written (its images, labels or"
                  + " class names): put it back, name it by --data if it was moved, or go on with"
                  + " what is there by --accept-changed-data",
              folder);
        }
        warnings.accept(
            "the data has changed since the checkpoint was written, and the run goes on with what"
                + " is there, as --accept-changed-data says");
      }
    }
  }

  /**
   * Saves a snapshot and then removes what is beyond the number to keep. If this very step was
   * already saved in the same epoch and phase, nothing is written.
   *
   * @param snapshot what to save
   * @return the checkpoint's folder
   * @throws UserException (exit code 5) if the disk is full or unwritable; older checkpoints stay
   */
  public Path write(Snapshot snapshot) {
    Path target = folder.resolve(String.format(Locale.ROOT, "step-%08d", snapshot.step()));
    if (isSaved(target, snapshot)) {
      return target;
    }
    try {
      Files.createDirectories(target);
      // Without its manifest a half-written second version is not taken for the first.
      clear(target);
      List<Manifest.Entry> entries = new ArrayList<>();
      for (Map.Entry<String, List<Tensor>> file : new TreeMap<>(snapshot.files()).entrySet()) {
        String name = file.getKey() + ".safetensors";
        fault.reached("before " + name);
        Safetensors.Written written =
            Safetensors.write(target.resolve(name), file.getValue(), Map.of());
        entries.add(new Manifest.Entry(name, written.bytes(), written.sha256()));
      }
      fault.reached("before " + Manifest.FILE);
      SortedMap<String, String> environment = new TreeMap<>(snapshot.environment());
      Manifest manifest =
          new Manifest(
              snapshot.step(),
              snapshot.epoch(),
              snapshot.phase(),
              entries,
              environment,
              snapshot.data(),
              snapshot.state());
      byte[] text = manifest.text().getBytes(StandardCharsets.UTF_8);
      AtomicFile.write(
          target.resolve(Manifest.FILE),
          channel -> {
            ByteBuffer bytes = ByteBuffer.wrap(text);
            while (bytes.hasRemaining()) {
              channel.write(bytes);
            }
          });
      AtomicFile.syncFolder(folder);
      fault.reached("before pruning");
      prune(snapshot.step());
    } catch (IOException e) {
      throw AtomicFile.unwritable(target, e);
    }
    return target;
  }

  private static boolean isSaved(Path target, Snapshot snapshot) {
    if (flaw(target).isPresent()) {
      return false;
    }
    Manifest saved = Manifest.read(target.resolve(Manifest.FILE));
    return saved.epoch() == snapshot.epoch() && saved.phase().equals(snapshot.phase());
  }

  /** Keeps the newest finished ones up to this step; unfinished and surplus ones go. */
  private void prune(long step) throws IOException {
    int finished = 0;
    for (Path checkpoint : newestFirst()) {
      boolean isFinished = Files.exists(checkpoint.resolve(Manifest.FILE));
      boolean isFuture = stepOf(checkpoint) > step;
      if (isFinished && !isFuture && finished < keep) {
        finished++;
      } else {
        delete(checkpoint);
      }
    }
  }

  private static void delete(Path checkpoint) throws IOException {
    clear(checkpoint);
    Files.deleteIfExists(checkpoint);
  }

  private static void clear(Path checkpoint) throws IOException {
    // The manifest first: what is half deleted must not look whole.
    Files.deleteIfExists(checkpoint.resolve(Manifest.FILE));
    for (Path file : Folder.entries(checkpoint)) {
      Files.deleteIfExists(file);
    }
  }

  private List<Path> newestFirst() throws IOException {
    if (!Files.isDirectory(folder)) {
      return List.of();
    }
    return Folder.entries(folder).stream()
        .filter(path -> stepOf(path) >= 0)
        .sorted(Comparator.comparingLong(Checkpoints::stepOf).reversed())
        .toList();
  }

  /** The step in a folder's name; -1 if it is no checkpoint's. */
  private static long stepOf(Path path) {
    Matcher matcher = FOLDER.matcher(path.getFileName().toString());
    return matcher.matches() ? Long.parseLong(matcher.group(1)) : -1;
  }

  /**
   * {@return the newest checkpoint whose manifest can be read and whose files have the sizes and
   * hashes it names, if there is one}
   *
   * @param notice told of each that was passed over, and why
   * @throws UserException (exit code 5) if the folder cannot be read
   */
  public Optional<Found> newestValid(Consumer<String> notice) {
    List<Path> candidates;
    try {
      candidates = newestFirst();
    } catch (IOException e) {
      throw Safetensors.unreadable(folder, e);
    }
    for (Path checkpoint : candidates) {
      Optional<String> flaw = flaw(checkpoint);
      if (flaw.isEmpty()) {
        return Optional.of(new Found(checkpoint, Manifest.read(checkpoint.resolve(Manifest.FILE))));
      }
      notice.accept("passing over the checkpoint " + checkpoint + ": " + flaw.get());
    }
    return Optional.empty();
  }

  /** Why a checkpoint cannot be used; empty if it can. */
  private static Optional<String> flaw(Path checkpoint) {
    Path path = checkpoint.resolve(Manifest.FILE);
    if (!Files.exists(path)) {
      return Optional.of("it was never finished (it has no " + Manifest.FILE + ")");
    }
    try {
      Manifest manifest = Manifest.read(path);
      if (manifest.step() != stepOf(checkpoint)) {
        return Optional.of("its manifest is of step " + manifest.step());
      }
      for (Manifest.Entry entry : manifest.files()) {
        Path file = checkpoint.resolve(entry.name());
        if (!Files.isRegularFile(file)) {
          return Optional.of(entry.name() + " is missing");
        }
        if (Files.size(file) != entry.bytes()) {
          return Optional.of(
              String.format(
                  Locale.ROOT,
                  "%s has %d bytes, not %d",
                  entry.name(),
                  Files.size(file),
                  entry.bytes()));
        }
        if (!Sha256.of(file).equals(entry.sha256())) {
          return Optional.of(entry.name() + " does not have the hash that was written");
        }
      }
      return Optional.empty();
    } catch (UserException e) {
      return Optional.of(e.getMessage());
    } catch (IOException e) {
      return Optional.of("it cannot be read (" + IoReason.of(e) + ")");
    }
  }

  /**
   * Refuses to start what will not fit.
   *
   * @param path where it will be written; need not exist yet
   * @param bytes how many must be free there
   * @throws UserException (exit code 5) with both numbers, if fewer are free
   */
  public static void requireFreeSpace(Path path, long bytes) {
    Path existing = path.toAbsolutePath();
    while (!Files.exists(existing) && existing.getParent() != null) {
      existing = existing.getParent();
    }
    try {
      long free = Files.getFileStore(existing).getUsableSpace();
      if (free < bytes) {
        throw new UserException(
            ExitCode.STORAGE,
            String.format(
                Locale.ROOT,
                "%s has %d MiB free, but the run needs %d MiB for its checkpoints: free some space"
                    + " or choose another folder",
                existing,
                free >> 20,
                Math.ceilDiv(bytes, 1L << 20)));
      }
    } catch (IOException e) {
      throw AtomicFile.unwritable(path, e);
    }
  }
}
