package io.fbnet.foreign;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodType;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

@SuppressWarnings("restricted")
class BinderTest {
  private final Binder binder = new Binder("C library", Linker.nativeLinker().defaultLookup());

  @Test
  void bindsWhatIsThere() throws Throwable {
    MethodHandle abs = binder.status("abs", JAVA_INT);
    assertEquals(3, (int) abs.invokeExact(-3));
    MethodHandle length = binder.function("strlen", FunctionDescriptor.of(JAVA_LONG, ADDRESS));
    try (Arena arena = Arena.ofConfined()) {
      assertEquals(4L, (long) length.invokeExact(arena.allocateFrom("four")));
    }
    assertEquals(List.of(), binder.missing());
    assertTrue(binder.has("abs"));
  }

  @Test
  void aMissingSymbolIsNotedAndThrowsWhenCalled() {
    MethodHandle absent = binder.status("fbnet_absent", ADDRESS, JAVA_LONG, JAVA_INT);
    assertEquals(
        MethodType.methodType(int.class, MemorySegment.class, long.class, int.class),
        absent.type());
    assertEquals(List.of("fbnet_absent"), binder.missing());
    assertFalse(binder.has("fbnet_absent"));
    UnsupportedOperationException e =
        assertThrows(
            UnsupportedOperationException.class,
            () -> {
              int status = (int) absent.invokeExact(MemorySegment.NULL, 1L, 2);
              throw new AssertionError(status);
            });
    assertEquals("C library has no function fbnet_absent", e.getMessage());
  }

  @Test
  void anOptionalSymbolMayBeMissing() {
    MethodHandle absent = binder.optional("fbnet_newer", JAVA_INT);
    assertEquals(List.of(), binder.missing());
    assertFalse(binder.has("fbnet_newer"));
    UnsupportedOperationException e =
        assertThrows(
            UnsupportedOperationException.class,
            () -> {
              int status = (int) absent.invokeExact(1);
              throw new AssertionError(status);
            });
    assertTrue(e.getMessage().contains("fbnet_newer"), e.getMessage());
  }

  @Test
  void tellsWhatWasBoundAndHow() {
    binder.status("abs", JAVA_INT);
    binder.status("fbnet_absent", ADDRESS);
    binder.optional("fbnet_newer");
    assertEquals(
        Map.of(
            "abs", FunctionDescriptor.of(JAVA_INT, JAVA_INT),
            "fbnet_absent", FunctionDescriptor.of(JAVA_INT, ADDRESS),
            "fbnet_newer", FunctionDescriptor.of(JAVA_INT)),
        binder.bound());
  }
}
