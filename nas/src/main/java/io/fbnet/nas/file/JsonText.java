package io.fbnet.nas.file;

import com.fasterxml.jackson.core.io.JsonStringEncoder;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.Iterator;
import java.util.Map;

/** JSON for people and diffs: two spaces of indentation, a list of plain values on one line. */
public final class JsonText {
  private JsonText() {}

  /** The text of a tree, with a line break at its end. */
  public static String of(JsonNode tree) {
    StringBuilder out = new StringBuilder();
    write(tree, "", out);
    return out.append('\n').toString();
  }

  private static void write(JsonNode node, String indent, StringBuilder out) {
    if (node.isEmpty() || (node.isArray() && isFlat(node))) {
      // Jackson writes a plain value, an empty container and a flat list as the language wants it.
      out.append(node.isArray() ? node.toString().replace(",", ", ") : node.toString());
      return;
    }
    String inner = indent + "  ";
    out.append(node.isArray() ? '[' : '{');
    String separator = "\n";
    if (node instanceof ObjectNode object) {
      for (Map.Entry<String, JsonNode> field : object.properties()) {
        out.append(separator).append(inner);
        out.append('"').append(escaped(field.getKey())).append("\": ");
        write(field.getValue(), inner, out);
        separator = ",\n";
      }
    } else {
      for (Iterator<JsonNode> elements = node.elements(); elements.hasNext(); ) {
        out.append(separator).append(inner);
        write(elements.next(), inner, out);
        separator = ",\n";
      }
    }
    out.append('\n').append(indent).append(node.isArray() ? ']' : '}');
  }

  private static boolean isFlat(JsonNode array) {
    for (JsonNode element : array) {
      // A text may hold a comma, which the spacing above must not touch.
      if (element.isContainerNode() || element.asText().contains(",")) {
        return false;
      }
    }
    return true;
  }

  private static String escaped(String key) {
    return new String(JsonStringEncoder.getInstance().quoteAsString(key));
  }
}
