package io.fbnet.nas.fuzz;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.SplittableRandom;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;

/** Damages valid JSON, YAML and rows of numbers where their grammar has joints. */
public final class TextMutator extends Mutator {
  private static final Pattern NUMBER = Pattern.compile("[-+]?\\d+(\\.\\d+)?([eE][-+]?\\d+)?");
  private static final Pattern WORD = Pattern.compile("[A-Za-z_][A-Za-z0-9_]*");
  private static final Pattern VALUE =
      Pattern.compile("\"[^\"\n]*\"|\\[[^\\[\\]]*\\]|\\{[^{}]*\\}|[-+.\\w]+");
  private static final Pattern LINE_OR_FIELD =
      Pattern.compile("(?m)^[^\n]*\n|\"\\w+\" ?: ?[^,{}]*,");

  private static final List<String> NUMBERS =
      List.of(
          "0",
          "-0",
          "-1",
          "1",
          "2147483647",
          "2147483648",
          "-2147483649",
          "9223372036854775808",
          "18446744073709551616",
          "1e308",
          "1e309",
          "-1e999999999",
          "1e-999999999",
          "4.9e-324",
          "NaN",
          ".nan",
          "-.inf",
          "Infinity",
          "0x7fffffff",
          "0b11",
          "0o17",
          "1_000",
          "010",
          "1:30",
          "1,5",
          "+1",
          "1.",
          ".5",
          "\"1\"",
          "null",
          "true",
          "9".repeat(400),
          "9".repeat(2000),
          "0." + "0".repeat(2000) + "1");

  private static final List<String> PIECES =
      List.of(
          "{",
          "}",
          "[",
          "]",
          ":",
          ",",
          "\"",
          "'",
          "\n",
          "\t",
          "\r",
          "#",
          "- ",
          "? ",
          "---\n",
          "...\n",
          "&a ",
          "*a",
          "!!binary ",
          "!!float ",
          "!<tag:yaml.org,2002:str> ",
          "%YAML 9.9\n",
          "%TAG ! tag:x,2000:\n",
          "<<: ",
          "|\n",
          ">9\n",
          "\\",
          "\\u",
          "\\ud800",
          "\\U00110000",
          "\0",
          "\u0007",
          "\u001b[31m",
          "\u0085",
          "\u2028",
          "\u202e",
          "\ufeff",
          "\ufffe",
          "\u0130",
          "\ud83d\ude00",
          "e\u0301",
          "''",
          "\"\"",
          "{}",
          "[]",
          "a.b",
          "../..",
          "/dev/null",
          "a\nb");

  /**
   * Damages these texts.
   *
   * @param valid texts that are read as they are
   */
  public TextMutator(List<String> valid) {
    super(valid.stream().map(text -> text.getBytes(StandardCharsets.UTF_8)).toList());
  }

  @Override
  byte[] damaged(byte[] bytes, SplittableRandom random) {
    if (random.nextInt(5) == 0) {
      return super.damaged(bytes, random);
    }
    return damaged(new String(bytes, StandardCharsets.UTF_8), random)
        .getBytes(StandardCharsets.UTF_8);
  }

  private String damaged(String text, SplittableRandom random) {
    return switch (random.nextInt(10)) {
      case 0, 1 -> exchanged(text, NUMBER, one(NUMBERS, random), random);
      case 2 -> exchanged(text, WORD, word(random), random);
      case 3 -> exchanged(text, VALUE, one(NUMBERS, random), random);
      case 4 -> exchanged(text, VALUE, found(another(random), VALUE, random), random);
      case 5 -> nested(text, random);
      case 6 -> duplicated(text, random);
      case 7 -> shuffled(text, random);
      case 8 -> exchanged(text, VALUE, many(text, random), random);
      default -> inserted(text, one(PIECES, random), random);
    };
  }

  private String another(SplittableRandom random) {
    return new String(any(random), StandardCharsets.UTF_8);
  }

  /** A name: of another file, misspelt, or long. */
  private String word(SplittableRandom random) {
    String name = found(another(random), WORD, random);
    return switch (random.nextInt(4)) {
      case 0 -> name + one(PIECES, random);
      case 1 -> name.repeat(1 + random.nextInt(3));
      case 2 -> "x".repeat(1 << random.nextInt(15));
      default -> name;
    };
  }

  private static String many(String text, SplittableRandom random) {
    int count = 1 << random.nextInt(1, 12);
    String item = found(text, VALUE, random);
    String few = item.length() > 20 ? "1" : item;
    return "[" + String.join(", ", Collections.nCopies(count, few)) + "]";
  }

  /** A value inside of many lists or mappings, closed or not. */
  private static String nested(String text, SplittableRandom random) {
    int depth = 1 << random.nextInt(1, 14);
    boolean list = random.nextBoolean();
    String open = list ? "[" : "{\"a\": ";
    String close = random.nextInt(3) == 0 ? "" : list ? "]" : "}";
    return exchanged(text, VALUE, open.repeat(depth) + "1" + close.repeat(depth), random);
  }

  private static String duplicated(String text, SplittableRandom random) {
    String part = found(text, LINE_OR_FIELD, random);
    int at = text.indexOf(part);
    return text.substring(0, at) + part.repeat(1 + random.nextInt(3)) + text.substring(at);
  }

  private static String shuffled(String text, SplittableRandom random) {
    List<String> lines = new ArrayList<>(Arrays.asList(text.split("(?<=\n)", -1)));
    Collections.swap(lines, random.nextInt(lines.size()), random.nextInt(lines.size()));
    return String.join("", lines);
  }

  private static String inserted(String text, String piece, SplittableRandom random) {
    int at = random.nextInt(text.length() + 1);
    return text.substring(0, at) + piece + text.substring(at);
  }

  private static String exchanged(String text, Pattern what, String by, SplittableRandom random) {
    List<MatchResult> matches = what.matcher(text).results().toList();
    if (matches.isEmpty()) {
      return text + by;
    }
    MatchResult match = matches.get(random.nextInt(matches.size()));
    return text.substring(0, match.start()) + by + text.substring(match.end());
  }

  private static String found(String text, Pattern what, SplittableRandom random) {
    List<String> matches = what.matcher(text).results().map(MatchResult::group).toList();
    return matches.isEmpty() ? "" : matches.get(random.nextInt(matches.size()));
  }

  private static String one(List<String> of, SplittableRandom random) {
    return of.get(random.nextInt(of.size()));
  }
}
