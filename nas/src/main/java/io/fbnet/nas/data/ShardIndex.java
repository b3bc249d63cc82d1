package io.fbnet.nas.data;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.fbnet.nas.file.AtomicFile;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.zip.CRC32C;

/**
 * What is known of the images of shards once all of them were decoded: where the good ones lie, the
 * training images first, and what a data set has to know of their pixels.
 *
 * <p>As a file: magic, version, length of the JSON of its {@link Head}, that JSON, and for each
 * image shard, offset, bytes and label; CRC32C of all that at the end.
 */
final class ShardIndex {
  private static final long MAGIC = 0x46424E4553484152L;
  private static final int VERSION = 1;
  private static final int IMAGE_BYTES = 20;
  private static final int FRAME_BYTES = 24;
  private static final ObjectMapper JSON = new ObjectMapper();

  /**
   * All but the images.
   *
   * @param key of the shards and the images' size
   * @param train how many images are for training
   * @param classes names; the label is the position
   * @param mean of the training images, by channel
   * @param std of the training images, by channel
   * @param fingerprint of the data set
   * @param skipped what was left out
   */
  record Head(
      String key,
      int train,
      List<String> classes,
      List<Float> mean,
      List<Float> std,
      String fingerprint,
      List<Problem> skipped) {
    Head {
      classes = List.copyOf(classes);
      skipped = List.copyOf(skipped);
      Normalisation checked = new Normalisation(mean, std);
      mean = checked.mean();
      std = checked.std();
    }
  }

  private final Head head;
  private final int[] shard;
  private final long[] offset;
  private final int[] bytes;
  private final int[] label;

  private ShardIndex(Head head, int size) {
    this.head = head;
    shard = new int[size];
    offset = new long[size];
    bytes = new int[size];
    label = new int[size];
  }

  /** An index of images in order. */
  static ShardIndex of(Head head, List<ShardReader.Place> places, int[] labels) {
    ShardIndex index = new ShardIndex(head, labels.length);
    for (int i = 0; i < labels.length; i++) {
      index.set(i, places.get(i).shard(), places.get(i).offset(), places.get(i).bytes(), labels[i]);
    }
    return index;
  }

  private void set(int image, int ofShard, long from, int count, int ofClass) {
    shard[image] = ofShard;
    offset[image] = from;
    bytes[image] = count;
    label[image] = ofClass;
  }

  Head head() {
    return head;
  }

  int size() {
    return label.length;
  }

  ShardReader.Place place(int image) {
    return new ShardReader.Place(shard[image], offset[image], bytes[image]);
  }

  /** Labels of the images from one on, before another. */
  int[] labels(int from, int to) {
    return Arrays.copyOfRange(label, from, to);
  }

  /** Writes it as a whole or not at all. */
  void write(Path file) throws IOException {
    byte[] json = JSON.writeValueAsBytes(head);
    ByteBuffer all =
        ByteBuffer.allocate(
            Math.toIntExact(FRAME_BYTES + json.length + (long) size() * IMAGE_BYTES));
    all.putLong(MAGIC).putInt(VERSION).putInt(json.length).put(json);
    for (int i = 0; i < size(); i++) {
      all.putInt(shard[i]).putLong(offset[i]).putInt(bytes[i]).putInt(label[i]);
    }
    all.putLong(crc(all.duplicate().flip())).flip();
    AtomicFile.write(
        file,
        channel -> {
          while (all.hasRemaining()) {
            channel.write(all);
          }
        });
  }

  /**
   * Reads one.
   *
   * @param key of the shards that it must be of
   * @param sizes of those shards in bytes
   * @throws IOException whose message says what is wrong with it
   */
  static ShardIndex read(Path file, String key, long[] sizes) throws IOException {
    ByteBuffer all = ByteBuffer.wrap(Files.readAllBytes(file));
    try {
      if (all.limit() < FRAME_BYTES || all.getLong() != MAGIC || all.getInt() != VERSION) {
        throw new IOException("it is of another version");
      }
      int end = all.limit() - Long.BYTES;
      if (crc(all.duplicate().position(0).limit(end)) != all.getLong(end)) {
        throw new IOException("its checksum is wrong");
      }
      int json = all.getInt();
      // Before it is asked for: a wrong length may be more than there is memory.
      if (json < 0 || json > end - all.position()) {
        throw new IOException("what it says of itself is wrong");
      }
      Head head = JSON.readValue(all.array(), all.position(), json, Head.class);
      all.position(all.position() + json);
      if (!key.equals(head.key())) {
        throw new IOException("it belongs to other images");
      }
      int size = (end - all.position()) / IMAGE_BYTES;
      ShardIndex index = new ShardIndex(head, size);
      boolean right = head.train() >= 0 && head.train() <= size;
      for (int i = 0; i < size; i++) {
        index.set(i, all.getInt(), all.getLong(), all.getInt(), all.getInt());
        right &= index.shard[i] >= 0 && index.shard[i] < sizes.length;
        right = right && index.place(i).isWithin(sizes[index.shard[i]]);
        right &= index.label[i] >= 0 && index.label[i] < head.classes().size();
      }
      if (!right) {
        throw new IOException("what it says of itself is wrong");
      }
      return index;
    } catch (JsonProcessingException e) {
      throw new IOException("what it says of itself is wrong", e);
    }
  }

  private static long crc(ByteBuffer bytes) {
    CRC32C crc = new CRC32C();
    crc.update(bytes);
    return crc.getValue();
  }
}
