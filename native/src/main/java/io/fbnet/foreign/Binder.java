package io.fbnet.foreign;

import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Binds a library's functions. A symbol that the library lacks is noted, not thrown while a class
 * loads: its handle throws when it is called.
 */
@SuppressWarnings("restricted")
final class Binder {
  private final String library;
  private final SymbolLookup symbols;
  private final Map<String, FunctionDescriptor> bound = new LinkedHashMap<>();
  private final List<String> missing = new ArrayList<>();

  Binder(String library, SymbolLookup symbols) {
    this.library = library;
    this.symbols = symbols;
  }

  /** A function that returns a status of type int. */
  MethodHandle status(String name, MemoryLayout... arguments) {
    return function(name, FunctionDescriptor.of(JAVA_INT, arguments));
  }

  /** A function of any form. */
  MethodHandle function(String name, FunctionDescriptor form) {
    return handle(name, form, true);
  }

  /** A function that only newer versions have. */
  MethodHandle optional(String name, MemoryLayout... arguments) {
    return handle(name, FunctionDescriptor.of(JAVA_INT, arguments), false);
  }

  private MethodHandle handle(String name, FunctionDescriptor form, boolean needed) {
    bound.put(name, form);
    Optional<MemorySegment> symbol = symbols.find(name);
    if (symbol.isPresent()) {
      return Linker.nativeLinker().downcallHandle(symbol.get(), form);
    }
    if (needed) {
      missing.add(name);
    }
    MethodType type = form.toMethodType();
    MethodHandle thrower =
        MethodHandles.throwException(type.returnType(), UnsupportedOperationException.class);
    UnsupportedOperationException absent =
        new UnsupportedOperationException(library + " has no function " + name);
    return MethodHandles.dropArguments(
        MethodHandles.insertArguments(thrower, 0, absent), 0, type.parameterList());
  }

  /** Whether the library has a function. */
  boolean has(String name) {
    return symbols.find(name).isPresent();
  }

  /** The address of an object of the library, 0 and noted as missing where it lacks it. */
  long object(String name) {
    Optional<MemorySegment> symbol = symbols.find(name);
    if (symbol.isEmpty()) {
      missing.add(name);
    }
    return symbol.map(MemorySegment::address).orElse(0L);
  }

  /** The functions that were bound, by name. */
  Map<String, FunctionDescriptor> bound() {
    return Map.copyOf(bound);
  }

  /** Functions that are needed and that the library lacks. */
  List<String> missing() {
    return List.copyOf(missing);
  }
}
