package io.fbnet.bench.gpu;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The command line of a part: {@code --name value} pairs, and {@code --tiny} and other flags. */
final class Options {
  private final Map<String, String> values = new LinkedHashMap<>();

  Options(String[] arguments, List<String> known) {
    for (int i = 0; i < arguments.length; i++) {
      String name = arguments[i];
      if (!name.startsWith("--") || !known.contains(name.substring(2))) {
        throw new IllegalArgumentException("unknown argument " + name + ", known are " + known);
      }
      boolean valued = i + 1 < arguments.length && !arguments[i + 1].startsWith("--");
      values.put(name.substring(2), valued ? arguments[++i] : "");
    }
  }

  boolean has(String name) {
    return values.containsKey(name);
  }

  String text(String name, String otherwise) {
    return values.getOrDefault(name, otherwise);
  }

  int integer(String name, int otherwise) {
    return values.containsKey(name) ? Integer.parseInt(values.get(name)) : otherwise;
  }
}
