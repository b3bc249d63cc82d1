package io.fbnet.nas.data;

import io.fbnet.nas.UserException;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * What to do about an image that cannot be read or whose label is wrong.
 *
 * @param skips whether such images are left out instead of ending the run
 * @param largestShare leave out at most this share of all images, 0 to 1
 * @param largestCount leave out at most so many
 */
public record BadSamplePolicy(boolean skips, double largestShare, long largestCount) {
  private static final Pattern SYNTAX = Pattern.compile("skip(?::(\\d+(?:\\.\\d+)?)(%?))?");

  /** {@return the policy by which the first bad image ends the run} */
  public static BadSamplePolicy fail() {
    return new BadSamplePolicy(false, 0, 0);
  }

  /**
   * {@return the policy by which bad images are left out, up to a share of all}
   *
   * @param share from 0 to 1
   */
  public static BadSamplePolicy skipShare(double share) {
    return new BadSamplePolicy(true, share, Long.MAX_VALUE);
  }

  /**
   * {@return the policy by which bad images are left out, up to a number}
   *
   * @param count of images
   */
  public static BadSamplePolicy skipCount(long count) {
    return new BadSamplePolicy(true, 1, count);
  }

  /**
   * Reads {@code fail}, {@code skip} (up to 1%), {@code skip:2.5%} or {@code skip:20}.
   *
   * @param text in upper or lower case
   * @return the policy
   * @throws UserException (exit code 2) for anything else
   */
  public static BadSamplePolicy parse(String text) {
    String lower = text.toLowerCase(Locale.ROOT);
    if (lower.equals("fail")) {
      return fail();
    }
    Matcher matcher = SYNTAX.matcher(lower);
    if (matcher.matches()) {
      if (matcher.group(1) == null) {
        return skipShare(0.01);
      }
      double number = Double.parseDouble(matcher.group(1));
      if (!matcher.group(2).isEmpty() && number <= 100) {
        return skipShare(number / 100);
      }
      if (matcher.group(2).isEmpty() && number == Math.rint(number)) {
        return skipCount((long) number);
      }
    }
    throw UserException.usage(
        "--on-bad-sample is 'fail', 'skip' (up to 1%% of the images), 'skip:2%%' or 'skip:20', not"
            + " '%s'.",
        text);
  }

  /** Whether so many bad images of so many may be left out. */
  boolean allows(long bad, long total) {
    boolean withinShare = largestShare >= 1 || bad <= largestShare * total;
    return skips && bad <= largestCount && withinShare;
  }
}
