package io.fbnet.engine.cpu;

import java.util.Collections;
import java.util.Set;
import java.util.TreeSet;

/**
 * How a batch is cut: a share for each thread, in chunks that differ by one image at most. A batch
 * smaller than the team is one share.
 *
 * @param batch images
 * @param threads of the team
 * @param size images of the largest chunk
 */
record Chunks(int batch, int threads, int size) {
  boolean divided() {
    return batch >= threads;
  }

  int shares() {
    return divided() ? threads : 1;
  }

  /** The first image of a share; of the one after the last, the batch. */
  int first(int share) {
    return ThreadTeam.from(batch, share, shares());
  }

  /** How many chunks a share has. */
  int count(int share) {
    return (first(share + 1) - first(share) + size - 1) / size;
  }

  /** The first image of a chunk; of the one after the last, the share's end. */
  int start(int share, int chunk) {
    int first = first(share);
    return first + ThreadTeam.from(first(share + 1) - first, chunk, count(share));
  }

  /** The size of the largest chunk of a share. */
  int size(int share) {
    return Collections.max(sizes(share));
  }

  /** The sizes that chunks of a share have, one or two. */
  Set<Integer> sizes(int share) {
    Set<Integer> sizes = new TreeSet<>();
    for (int c = 0; c < count(share); c++) {
      sizes.add(start(share, c + 1) - start(share, c));
    }
    return sizes;
  }
}
