package io.fbnet.nas.data;

import io.fbnet.nas.file.Sha256;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.IntStream;

/** Decodes all images of shards once and counts what {@link ShardIndex} holds. */
final class ShardIndexing {
  /** Images that are decoded at once, and lie in memory meanwhile. */
  private static final int TOGETHER = 256;

  private static final long NANOS_BETWEEN_NOTICES = 5_000_000_000L;

  /** Lists a shard, and tells of samples that are none. */
  interface Members {
    List<ShardMember> of(Path shard, Consumer<Problem> bad);
  }

  private final ShardListing listing;
  private final Members members;
  private final ShardReader reader;
  private final DataOptions options;
  private final BadSamples bad;
  private final ChannelStatistics statistics;
  private final MessageDigest pixels = Sha256.digest();
  private final List<ShardReader.Place> places = new ArrayList<>();
  private final List<Integer> labels = new ArrayList<>();
  private long lastNotice = System.nanoTime();

  ShardIndexing(
      ShardListing listing,
      Members members,
      ShardReader reader,
      DataOptions options,
      BadSamples bad) {
    this.listing = listing;
    this.members = members;
    this.reader = reader;
    this.options = options;
    this.bad = bad;
    statistics = ChannelStatistics.over(options.shape());
  }

  /** Reads everything. */
  ShardIndex run(String key) {
    int train = 0;
    List<Path> shards = listing.all();
    List<Problem> skipped = new ArrayList<>();
    // All are listed first: how many images may be bad is a share of all.
    List<List<ShardMember>> listed =
        shards.stream().map(shard -> members.of(shard, skipped::add)).toList();
    bad.expect(listed.stream().mapToLong(List::size).sum() + skipped.size());
    skipped.forEach(bad::report);
    for (int s = 0; s < shards.size(); s++) {
      if (s == listing.train().size()) {
        train = places.size();
      }
      List<ShardMember> all = listed.get(s);
      for (int from = 0; from < all.size(); from += TOGETHER) {
        int to = Math.min(all.size(), from + TOGETHER);
        skipped.addAll(add(s, all.subList(from, to)));
      }
      tellProgress(s + 1, shards.size());
    }
    if (listing.train().size() == shards.size()) {
      train = places.size();
    }
    int[] label = labels.stream().mapToInt(Integer::intValue).toArray();
    Normalisation normalisation = statistics.normalisation();
    List<String> classes = classes(label);
    return ShardIndex.of(
        new ShardIndex.Head(
            key,
            train,
            classes,
            normalisation.mean(),
            normalisation.std(),
            fingerprint(train, classes, label),
            skipped),
        places,
        label);
  }

  /** Takes some images of a shard; returns those that cannot be used. */
  private List<Problem> add(int shard, List<ShardMember> members) {
    List<ShardReader.Place> asked =
        members.stream().map(m -> new ShardReader.Place(shard, m.offset(), m.bytes())).toList();
    byte[][] images = new byte[members.size()][];
    Problem[] problems = new Problem[members.size()];
    reader.decode(
        asked,
        new ShardReader.Taker() {
          @Override
          public void take(int number, byte[] image) {
            images[number] = image;
          }

          @Override
          public void bad(int number, BadImageException e) {
            String file = reader.shard(shard) + ":" + members.get(number).name();
            problems[number] = new Problem(file, e.getMessage());
          }
        });
    List<Problem> found = new ArrayList<>();
    for (int i = 0; i < images.length; i++) {
      Problem problem = problems[i] == null ? foreignLabel(shard, members.get(i)) : problems[i];
      if (problem != null) {
        bad.report(problem);
        found.add(problem);
        continue;
      }
      pixels.update(images[i]);
      if (shard < listing.train().size()) {
        statistics.add(images[i], 1);
      }
      places.add(asked.get(i));
      labels.add(members.get(i).label());
    }
    return found;
  }

  /** Null where it has none. */
  private Problem foreignLabel(int shard, ShardMember member) {
    int classes = listing.classes().map(List::size).orElse(Integer.MAX_VALUE);
    return member.label() < classes
        ? null
        : new Problem(
            reader.shard(shard) + ":" + member.name(),
            "is of class " + member.label() + ", and classes.txt names " + classes);
  }

  /** Those of the file, else numbers as far as labels go. */
  private List<String> classes(int[] label) {
    return listing
        .classes()
        .orElseGet(
            () ->
                IntStream.rangeClosed(0, IntStream.of(label).max().orElse(-1))
                    .mapToObj(Integer::toString)
                    .toList());
  }

  private String fingerprint(int train, List<String> classes, int[] label) {
    MessageDigest digest = Sha256.digest();
    String head = options.shape() + "\n" + train + "\n" + label.length + "\n";
    digest.update((head + String.join("\n", classes) + "\n").getBytes(StandardCharsets.UTF_8));
    // The order of an epoch depends on where shards end.
    digest.update(CacheFile.encode(places.stream().mapToInt(ShardReader.Place::shard).toArray()));
    digest.update(CacheFile.encode(label));
    digest.update(pixels.digest());
    return "sha256:" + HexFormat.of().formatHex(digest.digest());
  }

  private void tellProgress(int done, int of) {
    long now = System.nanoTime();
    if (now - lastNotice >= NANOS_BETWEEN_NOTICES) {
      lastNotice = now;
      options
          .notices()
          .accept(
              "read "
                  + done
                  + " of "
                  + of
                  + " shards ("
                  + 100 * done / of
                  + "%), "
                  + places.size()
                  + " images");
    }
  }
}
