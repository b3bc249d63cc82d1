package io.fbnet.nas.data;

import io.fbnet.nas.UserException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;

/**
 * Reads a data set to its last byte and names everything that is wrong: truncated, corrupt and
 * unreadable files, labels out of range, classes without images. Writes nothing.
 */
public final class DataCheck {
  /**
   * What was found.
   *
   * @param classes class names
   * @param trainCounts good training images of each class
   * @param testCounts good test images of each class
   * @param problems empty where all is well
   */
  public record Report(
      List<String> classes,
      List<Integer> trainCounts,
      List<Integer> testCounts,
      List<Problem> problems) {}

  private final DataOptions options;
  private final BadSamples bad = new BadSamples(BadSamplePolicy.skipCount(Long.MAX_VALUE));
  private final List<Problem> problems = new ArrayList<>();
  private List<String> classes = List.of();
  private List<Integer> trainCounts = List.of();
  private List<Integer> testCounts = List.of();

  private DataCheck(DataOptions options) {
    this.options = options;
  }

  /**
   * Checks what {@code --data} names.
   *
   * @param options what to check; the policy on bad images does not matter
   * @return what was found
   * @throws UserException (exit code 3) where there is no such data set at all
   */
  public static Report run(DataOptions options) {
    ImageSource source = DataSource.resolve(options);
    DataSource.requireHeld(source, options);
    DataCheck check = new DataCheck(options);
    source.check(check);
    List<Problem> all = new ArrayList<>(check.problems);
    all.addAll(check.bad.problems());
    return new Report(check.classes, check.trainCounts, check.testCounts, List.copyOf(all));
  }

  DataOptions options() {
    return options;
  }

  /** Takes single bad images, as many as there are. */
  BadSamples badSamples() {
    return bad;
  }

  /** What a step gives, or empty with its complaint noted. */
  <T> Optional<T> attempt(String file, Supplier<T> step) {
    try {
      return Optional.of(step.get());
    } catch (UserException e) {
      String message = e.getMessage();
      boolean begins = message.startsWith(file + " ");
      problems.add(new Problem(file, begins ? message.substring(file.length() + 1) : message));
      return Optional.empty();
    }
  }

  /** Notes how many images each class has, and complains of those that have none. */
  void count(String place, List<String> classNames, int[] train, int[] test) {
    classes = classNames;
    trainCounts = Arrays.stream(train).boxed().toList();
    testCounts = Arrays.stream(test).boxed().toList();
    complainOfEmpty(place, "training", train);
    complainOfEmpty(place, "test", test);
  }

  private void complainOfEmpty(String place, String split, int[] counts) {
    for (int c = 0; c < counts.length; c++) {
      if (counts[c] == 0) {
        problems.add(new Problem(place, "has no " + split + " image of class " + classes.get(c)));
      }
    }
  }
}
