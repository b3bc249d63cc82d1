package io.fbnet.nas.file;

import java.util.Collection;
import java.util.Locale;
import java.util.Optional;

/** The known name that a misspelt one most likely stands for. */
public final class Nearest {
  /** A longer name stands for none: comparing takes memory by the product of both lengths. */
  private static final int LONGEST = 200;

  private Nearest() {}

  /**
   * The candidate with the smallest edit distance (insertions, deletions, substitutions and swaps
   * of neighbours; case is ignored), if it differs in no more than a third of the name's letters,
   * two for short names.
   */
  public static Optional<String> to(String name, Collection<String> candidates) {
    if (name.length() > LONGEST) {
      return Optional.empty();
    }
    int limit = Math.max(2, name.length() / 3);
    String best = null;
    int smallest = Integer.MAX_VALUE;
    for (String candidate : candidates) {
      if (Math.abs(candidate.length() - name.length()) > limit) {
        continue;
      }
      int distance = distance(name.toLowerCase(Locale.ROOT), candidate.toLowerCase(Locale.ROOT));
      if (distance < smallest) {
        smallest = distance;
        best = candidate;
      }
    }
    return smallest <= limit && smallest < name.length() ? Optional.of(best) : Optional.empty();
  }

  /** The words {@code "; did you mean 'x'?"}, or, when nothing is near, {@code "; known: a, b"}. */
  public static String hint(String name, Collection<String> candidates) {
    return to(name, candidates)
        .map(near -> "; did you mean '" + near + "'?")
        .orElseGet(() -> "; known: " + String.join(", ", candidates));
  }

  /** The optimal string alignment distance of two words. */
  static int distance(String a, String b) {
    int[][] d = new int[a.length() + 1][b.length() + 1];
    for (int i = 0; i <= a.length(); i++) {
      for (int j = 0; j <= b.length(); j++) {
        if (i == 0 || j == 0) {
          d[i][j] = i + j;
          continue;
        }
        int cost = a.charAt(i - 1) == b.charAt(j - 1) ? 0 : 1;
        d[i][j] = Math.min(Math.min(d[i - 1][j], d[i][j - 1]) + 1, d[i - 1][j - 1] + cost);
        boolean swapped =
            i > 1
                && j > 1
                && a.charAt(i - 1) == b.charAt(j - 2)
                && a.charAt(i - 2) == b.charAt(j - 1);
        if (swapped) {
          d[i][j] = Math.min(d[i][j], d[i - 2][j - 2] + 1);
        }
      }
    }
    return d[a.length()][b.length()];
  }
}
