package io.fbnet.nas.data;

import io.fbnet.nas.ExitCode;
import io.fbnet.nas.UserException;
import io.fbnet.nas.file.IoReason;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.function.Consumer;
import org.apache.commons.compress.archivers.tar.TarArchiveEntry;
import org.apache.commons.compress.archivers.tar.TarFile;

/**
 * An image of a shard: where its file lies within the tar file, and its class.
 *
 * @param name in the shard
 * @param offset of its first byte in the shard
 * @param bytes of it
 * @param label from the {@code .cls} file beside it
 */
record ShardMember(String name, long offset, int bytes, int label) {
  private static final String LABEL = "cls";

  /** What a tar file is made of; an empty one is its end. */
  private static final long BLOCK = 512;

  private static final int MOST_CLASSES = 100_000;
  private static final int MOST_DIGITS = 12;

  /**
   * Lists a shard: files of one name, up to its first point, are a sample, and lie side by side.
   *
   * @param bad told of samples without an image or a label
   * @throws UserException (exit code 3) where it is no whole tar file
   */
  static List<ShardMember> of(Path shard, Consumer<Problem> bad) {
    List<ShardMember> members = new ArrayList<>();
    try (FileChannel channel = FileChannel.open(shard, StandardOpenOption.READ);
        TarFile tar = new TarFile(shard)) {
      Sample sample = new Sample(shard, "");
      long end = 0;
      for (TarArchiveEntry entry : tar.getEntries()) {
        end = entry.getDataOffset() + Math.ceilDiv(entry.getSize(), BLOCK) * BLOCK;
        String name = entry.getName();
        int slash = name.lastIndexOf('/');
        int point = name.indexOf('.', slash + 1);
        if (!entry.isFile() || point <= slash + 1) {
          continue;
        }
        if (entry.isLink() || entry.isSymbolicLink()) {
          bad.accept(
              new Problem(
                  shard + ":" + name, "is a link; write the shard with tar --hard-dereference -h"));
          continue;
        }
        if (end > channel.size() || entry.isSparse()) {
          throw new IOException("'" + name + "' is not whole");
        }
        String key = name.substring(0, point);
        if (!key.equals(sample.key)) {
          sample.end(members, bad);
          sample = new Sample(shard, key);
        }
        sample.take(entry, name.substring(point + 1).toLowerCase(Locale.ROOT), channel);
      }
      if (end + BLOCK > channel.size()) {
        throw new IOException("it has no end");
      }
      sample.end(members, bad);
    } catch (IOException e) {
      throw UserException.data(
          "%s is no whole tar file: %s; write it again or put it away.", shard, IoReason.of(e));
    } catch (RuntimeException e) {
      // What the reader trips over in a damaged file; its words tell its user nothing.
      throw new UserException(
          ExitCode.DATA_OR_CONFIGURATION,
          shard + " is no whole tar file; write it again or put it away.",
          e);
    }
    return members;
  }

  /** The first of a shard that can be listed and has one; what is wrong with others is not told. */
  static Optional<ShardMember> first(Path shard) {
    try {
      return of(shard, problem -> {}).stream().findFirst();
    } catch (UserException e) {
      return Optional.empty();
    }
  }

  /** Files of one name. */
  private static final class Sample {
    private final Path shard;
    private final String key;
    private TarArchiveEntry image;
    private boolean two;
    private String label;

    Sample(Path shard, String key) {
      this.shard = shard;
      this.key = key;
    }

    void take(TarArchiveEntry entry, String ending, FileChannel channel) throws IOException {
      if (ImageFolderListing.READ.contains(ending)) {
        two = image != null;
        image = entry;
      } else if (ending.equals(LABEL)) {
        ByteBuffer text = ByteBuffer.allocate((int) Math.min(MOST_DIGITS, entry.getSize()));
        while (text.hasRemaining()
            && channel.read(text, entry.getDataOffset() + text.position()) > 0) {}
        label = new String(text.array(), 0, text.position(), StandardCharsets.US_ASCII).strip();
      }
    }

    void end(List<ShardMember> members, Consumer<Problem> bad) {
      String what = null;
      if (two) {
        what = "is the second image of its sample";
      } else if (image == null && label != null) {
        what = "has a label and no image";
      } else if (image != null && label == null) {
        what = "has no label: no " + key + "." + LABEL + " lies beside it";
      } else if (image != null && !label.matches("\\d{1,6}")
          || image != null && Integer.parseInt(label) >= MOST_CLASSES) {
        what = "has the label '" + label + "', which is no number of a class, from 0 on";
      } else if (image != null && image.getSize() > Integer.MAX_VALUE - 8) {
        what = "is too large for an image";
      }
      if (what != null) {
        bad.accept(new Problem(shard + ":" + (image == null ? key : image.getName()), what));
      } else if (image != null) {
        members.add(
            new ShardMember(
                image.getName(),
                image.getDataOffset(),
                (int) image.getSize(),
                Integer.parseInt(label)));
      }
    }
  }
}
