package io.fbnet.nas.data;

import io.fbnet.nas.UserException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.Collectors;

/** Collects bad images while decoding, from any thread, and applies the policy to each. */
final class BadSamples {
  private static final int NAMED = 5;

  private final BadSamplePolicy policy;
  private final List<Problem> problems = new ArrayList<>();
  private long total;

  BadSamples(BadSamplePolicy policy) {
    this.policy = policy;
  }

  /** Says how many more images there are, before the first of them is reported. */
  synchronized void expect(long images) {
    total += images;
  }

  /**
   * Notes one bad image.
   *
   * @throws UserException exit code 3, where the policy does not let it be left out
   */
  synchronized void report(Problem problem) {
    problems.add(problem);
    if (policy.allows(problems.size(), total)) {
      return;
    }
    if (policy.skips()) {
      throw UserException.data(
          "More images are bad than --on-bad-sample lets be left out (%d of %d so far): %s; 'data"
              + " check' names all of them.",
          problems.size(), total, named());
    }
    throw UserException.data(
        "%s %s; put it right or away, or leave such images out with --on-bad-sample skip.",
        problem.file(), problem.what());
  }

  /** Every bad image so far, sorted by file. */
  synchronized List<Problem> problems() {
    return problems.stream().sorted(Comparator.comparing(Problem::file)).toList();
  }

  /** Says how many were left out and names the first few. */
  synchronized void tell(Consumer<String> notices) {
    if (!problems.isEmpty()) {
      notices.accept("left out " + problems.size() + " bad of " + total + " images: " + named());
    }
  }

  private String named() {
    String first =
        problems.stream()
            .sorted(Comparator.comparing(Problem::file))
            .limit(NAMED)
            .map(p -> p.file() + " " + p.what())
            .collect(Collectors.joining("; "));
    return problems.size() > NAMED ? first + "; and " + (problems.size() - NAMED) + " more" : first;
  }
}
