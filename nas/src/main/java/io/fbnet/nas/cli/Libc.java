package io.fbnet.nas.cli;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.util.List;

/** The few functions of the C library that Java has no word for. */
final class Libc {
  private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT;
  private static final ValueLayout POINTER = ValueLayout.ADDRESS;
  private static final int WRITE_ONLY = 1;

  private Libc() {}

  @SuppressWarnings("restricted") // This is what the flag --enable-native-access is for.
  private static MethodHandle function(String name, MemoryLayout... arguments) {
    Linker linker = Linker.nativeLinker();
    return linker.downcallHandle(
        linker.defaultLookup().findOrThrow(name), FunctionDescriptor.of(INT, arguments));
  }

  private static RuntimeException failed(String name, Throwable e) {
    return new IllegalStateException("the C library's " + name + " cannot be called", e);
  }

  /** Whether a file descriptor is a terminal; false where the system cannot say. */
  static boolean isTerminal(int descriptor) {
    try {
      return (int) function("isatty", INT).invokeExact(descriptor) == 1;
    } catch (Throwable e) {
      return false;
    }
  }

  /** Sets a variable of the process's own environment, unless it is there already. */
  static void setIfAbsent(String name, String value) {
    setEnvironment(name, value, false);
  }

  /** Sets a variable of the process's own environment, which Java's copy does not show. */
  static void setEnvironment(String name, String value, boolean overwrite) {
    try (Arena arena = Arena.ofConfined()) {
      int _ =
          (int)
              function("setenv", POINTER, POINTER, INT)
                  .invokeExact(
                      arena.allocateFrom(name), arena.allocateFrom(value), overwrite ? 1 : 0);
    } catch (Throwable e) {
      throw failed("setenv", e);
    }
  }

  /** A second descriptor for the same open file, inherited by exec; negative on failure. */
  static int duplicate(int descriptor) {
    try {
      return (int) function("dup", INT).invokeExact(descriptor);
    } catch (Throwable e) {
      throw failed("dup", e);
    }
  }

  /** Makes {@code target} another name of {@code source}'s open file and closes {@code source}. */
  static void move(int source, int target) {
    try {
      int result = (int) function("dup2", INT, INT).invokeExact(source, target);
      if (result >= 0) {
        int _ = (int) function("close", INT).invokeExact(source);
      }
    } catch (Throwable e) {
      throw failed("dup2", e);
    }
  }

  /** Opens an existing file for writing; negative on failure. */
  static int openForWriting(String path) {
    try (Arena arena = Arena.ofConfined()) {
      return (int) function("open", POINTER, INT).invokeExact(arena.allocateFrom(path), WRITE_ONLY);
    } catch (Throwable e) {
      throw failed("open", e);
    }
  }

  /** Replaces this process by another program; returns only if that failed. */
  static void execute(List<String> command) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment arguments = arena.allocate(ValueLayout.ADDRESS, command.size() + 1L);
      for (int i = 0; i < command.size(); i++) {
        arguments.setAtIndex(ValueLayout.ADDRESS, i, arena.allocateFrom(command.get(i)));
      }
      arguments.setAtIndex(ValueLayout.ADDRESS, command.size(), MemorySegment.NULL);
      MemorySegment program = arguments.getAtIndex(ValueLayout.ADDRESS, 0);
      int _ = (int) function("execv", POINTER, POINTER).invokeExact(program, arguments);
    } catch (Throwable e) {
      throw failed("execv", e);
    }
  }
}
