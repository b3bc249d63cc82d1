package io.fbnet.nas.file;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.dataformat.yaml.YAMLFactory;
import com.fasterxml.jackson.dataformat.yaml.YAMLParser;
import io.fbnet.nas.UserException;
import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import org.yaml.snakeyaml.error.MarkedYAMLException;
import org.yaml.snakeyaml.error.YAMLException;

/**
 * Parses YAML or JSON into {@link Node}s that know their line. Stricter than the languages: a key
 * may stand only once, a YAML alias is refused (a few lines of them expand to gigabytes), and
 * nothing may follow the first document.
 */
public final class Document {
  private static final JsonFactory JSON = new JsonFactory();
  private static final YAMLFactory YAML = new YAMLFactory();

  /** No file read this way has a reason to be larger; a wrong one should not fill the memory. */
  private static final long LARGEST = 16L << 20;

  /** What the parsers tell their own programmers. */
  private static final Pattern INTERNALS =
      Pattern.compile("(, got this instead)?: <org\\..*|, from `[^`]*`");

  private final String file;
  private final String language;
  private final JsonParser parser;

  private Document(String file, String language, JsonParser parser) {
    this.file = file;
    this.language = language;
    this.parser = parser;
  }

  /** Parses a JSON file (UTF-8, at most 16 MiB). */
  public static Node json(Path path) {
    return json(path.toString(), text(path));
  }

  /** Parses a YAML file (UTF-8, at most 16 MiB). */
  public static Node yaml(Path path) {
    return yaml(path.toString(), text(path));
  }

  /**
   * Parses JSON text.
   *
   * @param name what complaints call the text
   */
  public static Node json(String name, String text) {
    try (JsonParser parser = JSON.createParser(text)) {
      return new Document(name, "JSON", parser).whole();
    } catch (IOException e) {
      throw UserException.data("%s cannot be read: %s", name, e.getMessage());
    }
  }

  /**
   * Parses YAML text.
   *
   * @param name what complaints call the text
   */
  public static Node yaml(String name, String text) {
    try (JsonParser parser = YAML.createParser(text)) {
      return new Document(name, "YAML", parser).whole();
    } catch (IOException e) {
      throw UserException.data("%s cannot be read: %s", name, e.getMessage());
    }
  }

  /** The text of a file (UTF-8, at most 16 MiB), for languages that are not parsed here. */
  public static String text(Path path) {
    try {
      if (Files.isDirectory(path)) {
        throw UserException.data("%s is a folder, not a file", path);
      }
      long size = Files.size(path);
      if (size > LARGEST) {
        throw UserException.data(
            "%s has %d bytes, more than the %d that such a file can have: is it the right one?",
            path, size, LARGEST);
      }
      String text = Files.readString(path, StandardCharsets.UTF_8);
      // What some editors and spreadsheets write first to say that it is UTF-8.
      return text.startsWith("\uFEFF") ? text.substring(1) : text;
    } catch (NoSuchFileException e) {
      throw UserException.data("there is no file %s", path);
    } catch (CharacterCodingException e) {
      throw UserException.data("%s is not UTF-8 text: is it the right file?", path);
    } catch (IOException e) {
      throw UserException.data(
          "%s cannot be read (%s): check the disk and the file's permissions",
          path, IoReason.of(e));
    }
  }

  private Node whole() throws IOException {
    try {
      if (parser.nextToken() == null) {
        throw UserException.data("%s is empty", file);
      }
      Node node = node(KeyPath.WHOLE);
      if (parser.nextToken() != null) {
        throw UserException.data(
            "%s, line %d: more text after the end of the %s document", file, line(), language);
      }
      return node;
    } catch (JsonProcessingException e) {
      if (e.getCause() instanceof MarkedYAMLException cause) {
        throw invalid(cause);
      }
      int line = e.getLocation() == null ? line() : e.getLocation().getLineNr();
      throw invalid(Math.max(line, 1), e.getOriginalMessage());
    } catch (MarkedYAMLException e) {
      throw invalid(e);
    } catch (YAMLException e) {
      throw invalid(line(), e.getMessage());
    }
  }

  private UserException invalid(MarkedYAMLException e) {
    // The mark of the problem, not of the construct in which it was met, is where to look.
    int line = e.getProblemMark() == null ? line() : e.getProblemMark().getLine() + 1;
    return invalid(line, e.getProblem());
  }

  private UserException invalid(int line, String reason) {
    return UserException.data(
        "%s, line %d: not valid %s: %s", file, line, language, firstLine(reason));
  }

  private Node node(KeyPath key) throws IOException {
    int line = line();
    if (parser instanceof YAMLParser yaml && yaml.isCurrentAlias()) {
      throw UserException.data(
          "%s, line %d: YAML aliases (*name) are not taken here; write the value out", file, line);
    }
    JsonToken token = parser.currentToken();
    String written = token.isScalarValue() ? parser.getText() : "";
    Object value =
        switch (token) {
          case START_OBJECT -> mapping(key);
          case START_ARRAY -> list(key);
          case VALUE_STRING -> whole(parser.getText());
          case VALUE_NUMBER_INT -> parser.getBigIntegerValue();
          case VALUE_NUMBER_FLOAT -> parser.getDoubleValue();
          case VALUE_TRUE -> true;
          case VALUE_FALSE -> false;
          case VALUE_NULL -> null;
          default ->
              throw UserException.data("%s, line %d: not valid %s here", file, line, language);
        };
    return new Node(file, line, key, value, written);
  }

  private Map<String, Node> mapping(KeyPath key) throws IOException {
    Map<String, Node> map = new LinkedHashMap<>();
    while (parser.nextToken() != JsonToken.END_OBJECT) {
      String name = whole(parser.currentName());
      int line = line();
      parser.nextToken();
      Node before = map.put(name, node(key.key(name)));
      if (before != null) {
        throw UserException.data(
            "%s, line %d: the key '%s' stands a second time (first in line %d)",
            file, line, name, before.line());
      }
    }
    return map;
  }

  private List<Node> list(KeyPath key) throws IOException {
    List<Node> list = new ArrayList<>();
    while (parser.nextToken() != JsonToken.END_ARRAY) {
      list.add(node(key.element(list.size())));
    }
    return List.copyOf(list);
  }

  /** A text that can be written as UTF-8 again: an escape may name half a character. */
  private String whole(String text) {
    for (int i = 0; i < text.length(); i++) {
      if (Character.isSurrogate(text.charAt(i))) {
        if (Character.getType(text.codePointAt(i)) == Character.SURROGATE) {
          throw UserException.data(
              "%s, line %d: an escape stands for half a character (\\u%04x)",
              file, line(), (int) text.charAt(i));
        }
        i++;
      }
    }
    return text;
  }

  private int line() {
    return Math.max(1, parser.currentTokenLocation().getLineNr());
  }

  private static String firstLine(String message) {
    String line = message == null ? "" : message.lines().findFirst().orElse("");
    return line.isBlank() ? "unreadable" : INTERNALS.matcher(line).replaceAll("");
  }
}
