package io.fbnet.nas.cli;

import io.fbnet.nas.UserException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * What a search may take, as a flag says it: multiply-adds; images, which stand for the
 * multiply-adds of so many images in w steps of the mixture; or a time, which stands for what such
 * steps do on the device meanwhile. All come down to multiply-adds, so that a busy machine changes
 * no search.
 *
 * @param amount above 0, in the unit
 * @param unit of it
 */
record CostAmount(double amount, Unit unit) {
  private static final Pattern FORM =
      Pattern.compile("([0-9]+(?:\\.[0-9]*)?(?:[eE][-+]?[0-9]+)?)\\s*([kMGTP]?)\\s*([a-z]*)");

  /** What is counted. */
  enum Unit {
    MACS,
    IMAGES,
    SECONDS
  }

  /** The amount that a flag names. */
  static CostAmount parse(String flag, String text) {
    Matcher m = FORM.matcher(text.strip());
    double amount = Double.NaN;
    Unit unit = Unit.MACS;
    if (m.matches()) {
      amount = Double.parseDouble(m.group(1)) * factor(m.group(2));
      unit =
          switch (m.group(3)) {
            case "", "macs" -> Unit.MACS;
            case "images" -> Unit.IMAGES;
            default -> Unit.SECONDS;
          };
      if (unit == Unit.SECONDS) {
        boolean scaled = !m.group(2).isEmpty();
        amount *= scaled ? Double.NaN : seconds(m.group(3));
      }
    }
    if (!(amount > 0 && Double.isFinite(amount))) {
      throw UserException.usage(
          "%s must be multiply-adds, such as 3.5T or 4e12, or images of the mixture, such as"
              + " 90kimages, or a time, such as 20min (s, min, h), but is '%s'",
          flag, text);
    }
    return new CostAmount(amount, unit);
  }

  private static double factor(String prefix) {
    return switch (prefix) {
      case "k" -> 1e3;
      case "M" -> 1e6;
      case "G" -> 1e9;
      case "T" -> 1e12;
      case "P" -> 1e15;
      default -> 1;
    };
  }

  private static double seconds(String unit) {
    return switch (unit) {
      case "s" -> 1;
      case "min" -> 60;
      case "h" -> 3600;
      default -> Double.NaN;
    };
  }
}
