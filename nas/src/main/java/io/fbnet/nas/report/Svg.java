package io.fbnet.nas.report;

import com.google.errorprone.annotations.CanIgnoreReturnValue;
import java.util.Locale;

/**
 * Markup under construction, for SVG and HTML alike. Every text and attribute is escaped here, so
 * that nothing in a run's files can become markup.
 */
final class Svg {
  private final StringBuilder out = new StringBuilder();

  /** Opens an element; attributes are pairs of name and value, and null values are left out. */
  @CanIgnoreReturnValue
  Svg open(String element, Object... attributes) {
    tag(element, attributes);
    out.append('>');
    return this;
  }

  /** Closes an element. */
  @CanIgnoreReturnValue
  Svg close(String element) {
    out.append("</").append(element).append('>');
    return this;
  }

  /** An element of a drawing without content. */
  @CanIgnoreReturnValue
  Svg leaf(String element, Object... attributes) {
    tag(element, attributes);
    out.append("/>");
    return this;
  }

  /** An element that holds one text. */
  @CanIgnoreReturnValue
  Svg words(String element, String text, Object... attributes) {
    return open(element, attributes).text(text).close(element);
  }

  /** An element of a drawing with a tooltip. */
  @CanIgnoreReturnValue
  Svg tipped(String element, String tip, Object... attributes) {
    return open(element, attributes).words("title", tip).close(element);
  }

  /** A text. */
  @CanIgnoreReturnValue
  Svg text(String text) {
    out.append(escape(text));
    return this;
  }

  /** Markup made by another instance of this class. */
  @CanIgnoreReturnValue
  Svg markup(Svg other) {
    out.append(other.out);
    return this;
  }

  /** A line break between elements, where the file should stay readable. */
  @CanIgnoreReturnValue
  Svg newline() {
    out.append('\n');
    return this;
  }

  private void tag(String element, Object... attributes) {
    out.append('<').append(element);
    for (int i = 0; i < attributes.length; i += 2) {
      Object value = attributes[i + 1];
      if (value != null) {
        out.append(' ').append(attributes[i]).append("=\"");
        out.append(value instanceof Double d ? number(d) : escape(value.toString())).append('"');
      }
    }
  }

  /** Text in which no character means markup; control characters, which XML lacks, are replaced. */
  static String escape(String text) {
    StringBuilder safe = new StringBuilder(text.length() + 16);
    for (int i = 0; i < text.length(); i++) {
      char c = text.charAt(i);
      switch (c) {
        case '&' -> safe.append("&amp;");
        case '<' -> safe.append("&lt;");
        case '>' -> safe.append("&gt;");
        case '"' -> safe.append("&quot;");
        case '\'' -> safe.append("&#39;");
        default -> safe.append(c < ' ' && c != '\n' && c != '\t' ? '\ufffd' : c);
      }
    }
    return safe.toString();
  }

  /** A coordinate: a hundredth of a pixel is finer than any screen. */
  static String number(double value) {
    String text = String.format(Locale.ROOT, "%.2f", value);
    int end = text.length();
    while (text.charAt(end - 1) == '0') {
      end--;
    }
    if (text.charAt(end - 1) == '.') {
      end--;
    }
    String trimmed = text.substring(0, end);
    return trimmed.equals("-0") ? "0" : trimmed;
  }

  @Override
  public String toString() {
    return out.toString();
  }
}
