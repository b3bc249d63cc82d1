package io.fbnet.nas.file;

import io.fbnet.nas.UserException;
import java.math.BigInteger;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * One value of a parsed file together with where it stands, so that every complaint can name the
 * file, the line and the key. Accessors throw a {@link UserException} (exit code 3) of one sentence
 * when the value is not what they ask for.
 */
public final class Node {
  private final String file;
  private final int line;
  private final KeyPath key;
  private final Object value;
  private final String written;

  /**
   * @param value a {@code Map<String, Node>}, a {@code List<Node>}, a String, a BigInteger, a
   *     Double, a Boolean or null
   * @param written a scalar as it stands in the file
   */
  Node(String file, int line, KeyPath key, Object value, String written) {
    this.file = file;
    this.line = line;
    this.key = key;
    this.value = value;
    this.written = written;
  }

  /** The line of the file on which this value starts, from 1. */
  public int line() {
    return line;
  }

  /** The dotted key of this value, such as {@code stages[2].width}; empty for the whole file. */
  public String key() {
    return key.toString();
  }

  /** An exception that names this value's file, line and key. */
  public UserException wrong(String complaint) {
    String what = key.isWhole() ? "" : "'" + key + "' ";
    return UserException.data("%s, line %d: %s%s", file, line, what, complaint);
  }

  /** The fields of a mapping; a key that is not among {@code known} is refused. */
  public Fields fields(String... known) {
    Map<String, Node> map = mapping();
    List<String> names = Arrays.asList(known);
    for (Map.Entry<String, Node> entry : map.entrySet()) {
      if (!names.contains(entry.getKey())) {
        throw UserException.data(
            "%s, line %d: unknown key '%s'%s",
            file, entry.getValue().line, entry.getKey(), Nearest.hint(entry.getKey(), names));
      }
    }
    return new Fields(this, map);
  }

  /** The fields of a mapping with keys of any name, in the order of the file. */
  @SuppressWarnings("unchecked")
  public Map<String, Node> mapping() {
    if (!(value instanceof Map<?, ?>)) {
      throw wrong("must hold named fields, but is " + shown());
    }
    return (Map<String, Node>) value;
  }

  /** The elements of a list of {@code least} to {@code most} elements. */
  @SuppressWarnings("unchecked")
  public List<Node> list(int least, int most) {
    if (!(value instanceof List<?>)) {
      throw wrong("must be a list, but is " + shown());
    }
    List<Node> list = (List<Node>) value;
    if (list.size() < least || list.size() > most) {
      String range = least == most ? Integer.toString(least) : least + " to " + most;
      throw wrong("must have " + range + " elements, but has " + list.size());
    }
    return list;
  }

  /** A whole number from {@code least} to {@code most}. */
  public int integer(int least, int most) {
    return (int) integer((long) least, (long) most);
  }

  /** A whole number from {@code least} to {@code most}. */
  public long integer(long least, long most) {
    if (!(value instanceof BigInteger number)) {
      throw wrong("must be a whole number, but is " + shown());
    }
    boolean inside =
        number.compareTo(BigInteger.valueOf(least)) >= 0
            && number.compareTo(BigInteger.valueOf(most)) <= 0;
    if (!inside) {
      throw wrong("must lie between " + least + " and " + most + ", but is " + number);
    }
    return number.longValueExact();
  }

  /** Refuses a format version other than {@code known}. */
  public void requireVersion(int known) {
    if (integer(1, Integer.MAX_VALUE) != known) {
      throw wrong(
          "is a version that this program does not know (it knows "
              + known
              + "): update the program");
    }
  }

  /** A finite number from {@code least} to {@code most}. */
  public double number(double least, double most) {
    double number;
    if (value instanceof BigInteger whole) {
      number = whole.doubleValue();
    } else if (value instanceof Double real) {
      number = real;
    } else {
      throw wrong("must be a number, but is " + shown());
    }
    if (!Double.isFinite(number)) {
      throw wrong("must be a finite number, but is " + shown());
    }
    if (number < least || number > most) {
      throw wrong("must lie between " + least + " and " + most + ", but is " + number);
    }
    return number;
  }

  /** A text that is not empty. */
  public String text() {
    if (!(value instanceof String text)) {
      throw wrong("must be a text, but is " + shown());
    }
    if (text.isBlank()) {
      throw wrong("must not be empty");
    }
    return text;
  }

  /** True or false. */
  public boolean flag() {
    if (!(value instanceof Boolean flag)) {
      throw wrong("must be true or false, but is " + shown());
    }
    return flag;
  }

  /** Whether this is a mapping. */
  public boolean isMapping() {
    return value instanceof Map<?, ?>;
  }

  /** Whether this is null, or a key without a value. */
  public boolean isNull() {
    return value == null;
  }

  /** Whether this is a list. */
  public boolean isList() {
    return value instanceof List<?>;
  }

  /** A text, number or truth value as it is written; empty for a mapping, a list and null. */
  public Optional<String> scalar() {
    return isMapping() || isList() || value == null ? Optional.empty() : Optional.of(written);
  }

  /** This value in a few words, for a complaint. */
  public String shown() {
    return switch (value) {
      case null -> "empty";
      case Map<?, ?> map -> "a mapping";
      case List<?> list -> "a list";
      case String text ->
          "the text \"" + (text.length() > 60 ? text.substring(0, 60) + "..." : text) + "\"";
      default -> value.toString();
    };
  }

  /** The fields of one mapping, all of known names. */
  public static final class Fields {
    private final Node owner;
    private final Map<String, Node> map;

    private Fields(Node owner, Map<String, Node> map) {
      this.owner = owner;
      this.map = map;
    }

    /** The field of this name; its absence is an error. */
    public Node required(String name) {
      Node node = map.get(name);
      if (node == null) {
        throw owner.wrong("lacks the field '" + name + "'");
      }
      return node;
    }

    /** The field of this name, if it is there. */
    public Optional<Node> optional(String name) {
      return Optional.ofNullable(map.get(name));
    }
  }
}
