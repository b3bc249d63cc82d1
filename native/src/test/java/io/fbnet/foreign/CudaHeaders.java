package io.fbnet.foreign;

import java.io.IOException;
import java.io.InputStream;
import java.lang.classfile.Attributes;
import java.lang.classfile.ClassFile;
import java.lang.classfile.ClassModel;
import java.lang.classfile.FieldModel;
import java.lang.classfile.MethodModel;
import java.lang.classfile.constantpool.ConstantValueEntry;
import java.lang.constant.ClassDesc;
import java.lang.reflect.AccessFlag;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/**
 * NVIDIA's headers as two generated Java wrappers show them, Bytedeco's and JCuda's. Their class
 * files are read, never loaded: loading would look for their native libraries.
 */
final class CudaHeaders {
  private final Map<String, Long> constants = new TreeMap<>();
  private final Map<String, Set<List<String>>> functions = new HashMap<>();

  /** Reads the classes of these names, such as {@code org/bytedeco/cuda/global/cudart}. */
  CudaHeaders(String... classes) throws IOException {
    for (String name : classes) {
      ClassModel model = parse(name);
      for (FieldModel field : model.fields()) {
        field
            .findAttribute(Attributes.constantValue())
            .map(value -> number(value.constant()))
            .ifPresent(value -> constants.put(field.fieldName().stringValue(), value));
      }
      for (MethodModel method : model.methods()) {
        if (method.flags().has(AccessFlag.STATIC) && method.flags().has(AccessFlag.PUBLIC)) {
          functions
              .computeIfAbsent(method.methodName().stringValue(), key -> new LinkedHashSet<>())
              .add(kinds(method));
        }
      }
    }
  }

  private static ClassModel parse(String name) throws IOException {
    String file = name + ".class";
    try (InputStream in = CudaHeaders.class.getClassLoader().getResourceAsStream(file)) {
      if (in == null) {
        throw new IOException("the class path has no " + file);
      }
      return ClassFile.of().parse(in.readAllBytes());
    }
  }

  private static Long number(ConstantValueEntry constant) {
    return constant.constantValue() instanceof Number n ? n.longValue() : null;
  }

  /** Of the result and of each parameter. */
  private static List<String> kinds(MethodModel method) {
    List<String> kinds = new ArrayList<>();
    kinds.add(kind(method.methodTypeSymbol().returnType()));
    method.methodTypeSymbol().parameterList().forEach(p -> kinds.add(kind(p)));
    return kinds;
  }

  private static String kind(ClassDesc type) {
    return type.isPrimitive() ? type.displayName() : "pointer";
  }

  /** The value of an enumerator or macro. */
  long constant(String name) {
    Long value = constants.get(name);
    if (value == null) {
      throw new IllegalArgumentException("the headers have no constant " + name);
    }
    return value;
  }

  /** Whether there is such an enumerator or macro. */
  boolean hasConstant(String name) {
    return constants.containsKey(name);
  }

  /** All of a prefix, by name. */
  Map<String, Long> constants(String prefix) {
    Map<String, Long> found = new TreeMap<>();
    constants.forEach(
        (name, value) -> {
          if (name.startsWith(prefix)) {
            found.put(name, value);
          }
        });
    return found;
  }

  /**
   * The forms of a function: kinds of its result and parameters. Wrappers overload by the Java type
   * of a pointer, so most functions have one form. Empty where there is no such function.
   */
  Set<List<String>> forms(String function) {
    return functions.getOrDefault(function, Set.of());
  }

  /**
   * A struct's fields in order, with the C type each has: the getters of its class. An array's
   * length is not in the class file.
   *
   * @return kinds by field name, an array's with {@code []} behind it
   */
  static Map<String, String> struct(String name) throws IOException {
    Map<String, String> fields = new LinkedHashMap<>();
    for (MethodModel method : parse(name).methods()) {
      if (!method.flags().has(AccessFlag.NATIVE)
          || !method.flags().has(AccessFlag.PUBLIC)
          || method.flags().has(AccessFlag.STATIC)) {
        continue;
      }
      String field = method.methodName().stringValue();
      List<ClassDesc> parameters = method.methodTypeSymbol().parameterList();
      ClassDesc result = method.methodTypeSymbol().returnType();
      if (result.isPrimitive() && parameters.size() == 1) {
        fields.put(field, result.displayName() + "[]");
      } else if (parameters.isEmpty()) {
        fields.putIfAbsent(field, result.isPrimitive() ? result.displayName() : inner(result));
      }
    }
    return fields;
  }

  private static String inner(ClassDesc type) {
    String descriptor = type.descriptorString();
    return descriptor.substring(1, descriptor.length() - 1);
  }
}
