package io.fbnet.nas.latency;

import io.fbnet.nas.UserException;
import io.fbnet.nas.space.SearchSpace;
import java.util.List;
import java.util.Locale;
import java.util.TreeSet;
import java.util.function.Consumer;

/** Whether a table may be used for a space, and what to warn of if it may. */
final class Fit {
  private Fit() {}

  static void require(String table, SpaceKey has, SpaceKey needs, Consumer<String> warnings) {
    if (!has.input().equals(needs.input())) {
      throw refused(
          table, needs, "for input " + shown(has.input()) + ", not " + shown(needs.input()));
    }
    if (!has.stem().equals(needs.stem())) {
      throw refused(
          table,
          needs,
          String.format(
              Locale.ROOT,
              "for a stem of width %d and stride %d, not %d and %d",
              has.stem().width(),
              has.stem().stride(),
              needs.stem().width(),
              needs.stem().stride()));
    }
    if (has.widths().size() != needs.widths().size()) {
      throw refused(
          table, needs, "of " + has.widths().size() + " layers, not " + needs.widths().size());
    }
    requireEqual(table, needs, "width", has.widths(), needs.widths());
    requireEqual(table, needs, "stride", has.strides(), needs.strides());
    if (!has.blocks().equals(needs.blocks())) {
      throw refused(
          table,
          needs,
          "for the blocks "
              + String.join(", ", has.blocks())
              + ", not "
              + String.join(", ", needs.blocks())
              + " in this order");
    }
    if (has.alwaysPw() != needs.alwaysPw()) {
      throw refused(
          table,
          needs,
          String.format(
              Locale.ROOT,
              "for blocks with always_pw %s, not %s",
              has.alwaysPw(),
              needs.alwaysPw()));
    }
    if (has.activation() != needs.activation()) {
      throw refused(
          table,
          needs,
          String.format(
              Locale.ROOT,
              "for %s in stem and head, not %s",
              has.activation(),
              needs.activation()));
    }
    warnIfOther(table, "classes", has.classes(), needs.classes(), warnings);
    warnIfOther(table, "head width", has.head(), needs.head(), warnings);
  }

  private static void requireEqual(
      String table, SpaceKey needs, String what, List<Integer> has, List<Integer> wanted) {
    for (int l = 0; l < has.size(); l++) {
      if (!has.get(l).equals(wanted.get(l))) {
        throw refused(
            table,
            needs,
            String.format(
                Locale.ROOT,
                "for %s %d in layer L%d, not %d",
                what,
                has.get(l),
                l + 1,
                wanted.get(l)));
      }
    }
  }

  private static void warnIfOther(
      String table, String what, int has, int needs, Consumer<String> warnings) {
    if (has != needs) {
      warnings.accept(
          String.format(
              Locale.ROOT,
              "%s was made with %s %d, the space has %d: the fixed share is off by that much",
              table,
              what,
              has,
              needs));
    }
  }

  private static UserException refused(String table, SpaceKey needs, String difference) {
    return UserException.data(
        "%s does not fit the space '%s': it is %s; measure a table for this space",
        table, needs.name(), difference);
  }

  private static String shown(SearchSpace.Input input) {
    return input.channels() + "x" + input.height() + "x" + input.width();
  }

  static void warn(String table, Fingerprint has, Fingerprint here, Consumer<String> warnings) {
    differ(table, "processor", has.processor(), here.processor(), warnings);
    differ(table, "precision", has.precision(), here.precision(), warnings);
    differ(table, "threads", known(has.threads()), known(here.threads()), warnings);
    differ(table, "batch", known(has.batch()), known(here.batch()), warnings);
    TreeSet<String> libraries = new TreeSet<>(has.libraries().keySet());
    libraries.retainAll(here.libraries().keySet());
    for (String name : libraries) {
      differ(table, name, has.libraries().get(name), here.libraries().get(name), warnings);
    }
  }

  private static String known(int number) {
    return number == 0 ? "" : Integer.toString(number);
  }

  /** Says nothing where either side is unknown. */
  private static void differ(
      String table, String what, String has, String here, Consumer<String> warnings) {
    if (!has.isEmpty() && !here.isEmpty() && !has.equals(here)) {
      warnings.accept(
          String.format(
              Locale.ROOT, "%s was made with %s %s, here it is %s", table, what, has, here));
    }
  }
}
