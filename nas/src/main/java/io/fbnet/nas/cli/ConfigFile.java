package io.fbnet.nas.cli;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import io.fbnet.nas.file.Document;
import io.fbnet.nas.file.Nearest;
import io.fbnet.nas.file.Node;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import picocli.CommandLine;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;

/**
 * Flags from a YAML file. Keys and types are checked before the verb runs, so that a complaint can
 * name the file's line; then single values become defaults, which the command line overrides, and
 * lists become further arguments.
 */
final class ConfigFile {
  private static final Set<String> NOT_CONFIGURABLE = Set.of("config", "help", "version");

  private ConfigFile() {}

  /**
   * If the arguments name a verb with {@code --config FILE}, makes that file's values the verb's
   * defaults.
   *
   * @return the arguments to parse
   * @throws io.fbnet.nas.UserException (exit code 3) if the file is wrong
   */
  static String[] apply(CommandLine root, String[] arguments) {
    CommandLine verb = root;
    int next = 0;
    while (next < arguments.length && verb.getSubcommands().containsKey(arguments[next])) {
      verb = verb.getSubcommands().get(arguments[next]);
      next++;
    }
    if (verb.getCommandSpec().findOption(ConfigOption.NAME) == null) {
      return arguments;
    }
    List<String> rest = Arrays.asList(arguments).subList(next, arguments.length);
    String file = rest.contains("--help") || rest.contains("-h") ? null : valueOf(rest);
    if (file == null) {
      return arguments;
    }
    Map<OptionSpec, List<String>> values =
        values(verb.getCommandSpec(), Document.yaml(Path.of(file)), rest);
    verb.setDefaultValueProvider(
        argument ->
            argument instanceof OptionSpec option
                    && !option.isMultiValue()
                    && values.containsKey(option)
                ? values.get(option).get(0)
                : null);
    // A default can hold only one value, so lists go where the user would have written them.
    List<String> all = new ArrayList<>(Arrays.asList(arguments).subList(0, next));
    values.forEach(
        (option, texts) -> {
          if (option.isMultiValue()) {
            texts.forEach(text -> all.add(option.longestName() + "=" + text));
          }
        });
    all.addAll(rest);
    return all.toArray(String[]::new);
  }

  private static String valueOf(List<String> arguments) {
    for (int i = 0; i < arguments.size(); i++) {
      String argument = arguments.get(i);
      if (argument.equals("--")) {
        return null;
      }
      if (argument.startsWith(ConfigOption.NAME + "=")) {
        return argument.substring(ConfigOption.NAME.length() + 1);
      }
      if (argument.equals(ConfigOption.NAME) && i + 1 < arguments.size()) {
        return arguments.get(i + 1);
      }
    }
    return null;
  }

  /** The options by every long name that a file may use. */
  private static Map<String, OptionSpec> configurable(CommandSpec verb) {
    Map<String, OptionSpec> options = new LinkedHashMap<>();
    for (OptionSpec option : verb.options()) {
      for (String name : option.names()) {
        if (name.startsWith("--") && !NOT_CONFIGURABLE.contains(name.substring(2))) {
          options.put(name.substring(2), option);
        }
      }
    }
    return options;
  }

  private static Map<OptionSpec, List<String>> values(
      CommandSpec verb, Node file, List<String> arguments) {
    Map<String, OptionSpec> known = configurable(verb);
    Map<OptionSpec, List<String>> values = new LinkedHashMap<>();
    file.mapping()
        .forEach(
            (key, node) -> {
              OptionSpec option = known.get(key);
              if (option == null) {
                throw node.wrong(
                    "is no flag of '"
                        + verb.qualifiedName()
                        + "'"
                        + Nearest.hint(key, known.keySet()));
              }
              List<String> value = value(option, node);
              // picocli turns a flag on the command line into the opposite of its default, so a
              // default must not stand where the command line speaks.
              if (!isGiven(option, arguments) && values.put(option, value) != null) {
                throw node.wrong("sets a flag that another name of it has set before");
              }
            });
    return values;
  }

  private static boolean isGiven(OptionSpec option, List<String> arguments) {
    for (String name : option.names()) {
      String negated = "--no-" + name.replaceFirst("^--", "");
      for (String argument : arguments) {
        boolean attachedShort =
            name.length() == 2 && argument.startsWith(name) && !argument.startsWith("--");
        if (argument.equals(name)
            || argument.startsWith(name + "=")
            || argument.equals(negated)
            || attachedShort) {
          return true;
        }
      }
    }
    return false;
  }

  private static List<String> value(OptionSpec option, Node node) {
    if (!option.isMultiValue()) {
      return List.of(single(option, option.type(), node));
    }
    List<String> items = new ArrayList<>();
    for (Node item : node.isList() ? node.list(1, 1000) : List.of(node)) {
      String text = single(option, elementType(option), item);
      if (!option.splitRegex().isEmpty() && text.split(option.splitRegex(), -1).length > 1) {
        throw item.wrong("must not hold a separator; write a list");
      }
      items.add(text);
    }
    return items;
  }

  private static Class<?> elementType(OptionSpec option) {
    Class<?>[] types = option.auxiliaryTypes();
    return types.length == 0 ? String.class : types[0];
  }

  private static String single(OptionSpec option, Class<?> type, Node node) {
    if (option.converters().length > 0) {
      String text =
          node.scalar().orElseThrow(() -> node.wrong("must be one value, but is " + node.shown()));
      requireConvertible(option.converters()[0], text, node);
      return text;
    }
    String written = node.scalar().orElse("");
    if (isAsOnTheCommandLine(type, written)) {
      return written;
    }
    if (type == boolean.class || type == Boolean.class) {
      return Boolean.toString(node.flag());
    }
    if (type == int.class || type == Integer.class) {
      return Integer.toString(node.integer(Integer.MIN_VALUE, Integer.MAX_VALUE));
    }
    if (type == long.class || type == Long.class) {
      return Long.toString(node.integer(Long.MIN_VALUE, Long.MAX_VALUE));
    }
    if (type == double.class
        || type == Double.class
        || type == float.class
        || type == Float.class) {
      return Double.toString(node.number(-Double.MAX_VALUE, Double.MAX_VALUE));
    }
    if (type.isEnum()) {
      return enumConstant(type, node);
    }
    if (written.isBlank()) {
      return node.text();
    }
    return written;
  }

  /** Whether a value serves as it is written, quoted or not, and whatever YAML takes it for. */
  private static boolean isAsOnTheCommandLine(Class<?> type, String written) {
    try {
      if (type == boolean.class || type == Boolean.class) {
        return written.equals("true") || written.equals("false");
      }
      if (type == int.class || type == Integer.class) {
        var _ = Integer.parseInt(written);
        return true;
      }
      if (type == long.class || type == Long.class) {
        var _ = Long.parseLong(written);
        return true;
      }
      return (type == double.class || type == Double.class)
          && Double.isFinite(Double.parseDouble(written));
    } catch (NumberFormatException e) {
      return false;
    }
  }

  private static void requireConvertible(ITypeConverter<?> converter, String text, Node node) {
    try {
      var _ = converter.convert(text);
    } catch (Exception e) {
      throw node.wrong("is wrong: " + e.getMessage());
    }
  }

  private static String enumConstant(Class<?> type, Node node) {
    String text = node.text();
    List<String> names =
        Arrays.stream(type.getEnumConstants())
            .map(constant -> constant.toString().toLowerCase(Locale.ROOT))
            .toList();
    if (!names.contains(text.toLowerCase(Locale.ROOT))) {
      throw node.wrong(
          "must be one of "
              + String.join(", ", names)
              + ", but is '"
              + text
              + "'"
              + Nearest.to(text, names).map(n -> "; did you mean '" + n + "'?").orElse(""));
    }
    return text;
  }

  /**
   * Every flag of a verb with the value it has in this invocation, as a file that {@code --config}
   * reads. Flags without a value are left out, and so are those named.
   *
   * @param except long names without dashes
   */
  static String resolved(CommandSpec verb, Collection<String> except) {
    StringBuilder text = new StringBuilder();
    settings(verb, except)
        .forEach((name, value) -> text.append(name).append(": ").append(value).append('\n'));
    return text.toString();
  }

  /** The same, each value as it stands in the file by its flag's long name without dashes. */
  static Map<String, String> settings(CommandSpec verb, Collection<String> except) {
    Map<String, String> settings = new LinkedHashMap<>();
    for (OptionSpec option : verb.options()) {
      String name = option.longestName().replaceFirst("^--", "");
      Object value = option.getValue();
      boolean left =
          NOT_CONFIGURABLE.contains(name)
              || except.contains(name)
              || value == null
              || value.equals("");
      if (!left && !option.usageHelp() && !option.versionHelp()) {
        String written = written(option, value);
        if (!written.isEmpty()) {
          settings.put(name, written);
        }
      }
    }
    return settings;
  }

  private static String written(OptionSpec option, Object value) {
    if (option.converters().length == 0 || option.isMultiValue()) {
      return written(value);
    }
    // Only the text that was given is sure to be readable again.
    List<String> given = option.originalStringValues();
    return quoted(given.isEmpty() ? option.defaultValueString() : given.getLast());
  }

  private static String written(Object value) {
    return switch (value) {
      case Boolean flag -> flag.toString();
      case Number number -> number.toString();
      case Enum<?> constant -> quoted(constant.toString().toLowerCase(Locale.ROOT));
      case Collection<?> many ->
          many.isEmpty() ? "" : many.stream().map(ConfigFile::written).toList().toString();
      case Optional<?> maybe -> maybe.map(ConfigFile::written).orElse("");
      default -> quoted(value.toString());
    };
  }

  /** A JSON string is a YAML string. */
  private static String quoted(String text) {
    return JsonNodeFactory.instance.textNode(text).toString();
  }
}
