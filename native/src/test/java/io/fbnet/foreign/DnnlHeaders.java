package io.fbnet.foreign;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The C headers that travel beside the library, read just far enough: enumerations, numeric macros
 * and prototypes. So the numbers and signatures are checked without a C compiler.
 */
final class DnnlHeaders {
  private static final String FOLDER = "org/bytedeco/dnnl/linux-x86_64/include/oneapi/dnnl/";
  private static final Pattern ENUM =
      Pattern.compile("typedef\\s+enum\\s*\\w*\\s*\\{([^}]*)}\\s*(\\w+)\\s*;");
  private static final Pattern MACRO = Pattern.compile("(?m)^#define\\s+(\\w+)\\s+(\\w+)\\s*$");
  private static final Pattern PROTOTYPE =
      Pattern.compile("([\\w\\s*]+?)\\bDNNL_API\\s+(\\*?)\\s*(\\w+)\\s*\\(([^)]*)\\)\\s*;");

  private final Map<String, String> macros = new HashMap<>();
  private final Map<String, Long> constants = new HashMap<>();
  private final Map<String, List<String>> prototypes = new HashMap<>();
  private final Set<String> enumTypes = new HashSet<>();

  DnnlHeaders() throws IOException {
    for (String file : List.of("dnnl_common_types.h", "dnnl_types.h", "dnnl_common.h", "dnnl.h")) {
      String text = withoutComments(read(file));
      Matcher macro = MACRO.matcher(text);
      while (macro.find()) {
        macros.put(macro.group(1), macro.group(2));
      }
      Matcher body = ENUM.matcher(text);
      while (body.find()) {
        enumTypes.add(body.group(2));
        enumeration(body.group(1));
      }
      Matcher prototype = PROTOTYPE.matcher(text);
      while (prototype.find()) {
        List<String> signature = new ArrayList<>();
        signature.add(kind(prototype.group(1) + prototype.group(2)));
        for (String parameter : prototype.group(4).split(",", -1)) {
          if (!parameter.strip().equals("void")) {
            signature.add(kind(parameter));
          }
        }
        prototypes.put(prototype.group(3), signature);
      }
    }
  }

  private static String read(String file) throws IOException {
    ClassLoader loader = DnnlHeaders.class.getClassLoader();
    try (InputStream in = loader.getResourceAsStream(FOLDER + file)) {
      if (in == null) {
        throw new IOException("the class path has no " + FOLDER + file);
      }
      return new String(in.readAllBytes(), StandardCharsets.UTF_8);
    }
  }

  private static String withoutComments(String text) {
    return text.replaceAll("(?s)/\\*.*?\\*/", " ").replaceAll("//[^\n]*", " ");
  }

  private void enumeration(String body) {
    long next = 0;
    for (String entry : body.replaceAll("(?m)^#.*$", "").split(",", -1)) {
      String[] parts = entry.strip().split("\\s*=\\s*", 2);
      if (parts[0].isEmpty()) {
        continue;
      }
      long value = parts.length == 2 ? evaluate(parts[1]) : next;
      constants.put(parts[0], value);
      next = value + 1;
    }
  }

  private long evaluate(String expression) {
    long value = 0;
    for (String term : expression.split("\\|", -1)) {
      String bare = term.strip();
      if (Character.isDigit(bare.charAt(0))) {
        value |= Long.decode(bare.replaceAll("[uUlL]+$", ""));
      } else if (macros.containsKey(bare)) {
        value |= evaluate(macros.get(bare));
      } else {
        value |= constant(bare);
      }
    }
    return value;
  }

  /** How a type is passed: its register class is all that a method handle knows. */
  private String kind(String declaration) {
    String text = declaration.replaceAll("\\b(const|extern)\\b", " ").strip();
    if (text.contains("*")) {
      return "pointer";
    }
    String[] words = text.split("\\s+", 2);
    String type = words[0];
    if (enumTypes.contains(type) || type.equals("int") || type.equals("unsigned")) {
      return "int";
    }
    // A parameter that is an array is a pointer, and so is every other handle.
    return type.equals("size_t") || type.equals("dnnl_dim_t") ? "long" : "pointer";
  }

  /** The value of an enumerator. */
  long constant(String name) {
    Long value = constants.get(name);
    if (value == null) {
      throw new IllegalArgumentException("the headers have no constant " + name);
    }
    return value;
  }

  /** The value of a macro, through its aliases. */
  long macro(String name) {
    String value = macros.get(name);
    if (value == null) {
      throw new IllegalArgumentException("the headers have no macro " + name);
    }
    return evaluate(value);
  }

  /** The kinds of the result and of each parameter: pointer, int or long. */
  List<String> prototype(String function) {
    List<String> signature = prototypes.get(function);
    if (signature == null) {
      throw new IllegalArgumentException("the headers have no function " + function);
    }
    return signature;
  }
}
