package io.fbnet.foreign;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.fbnet.foreign.DnnlPrimitive.Argument;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

class DnnlTest {
  @BeforeAll
  static void needsLibrary() {
    assumeTrue(Dnnl.availability().found(), () -> "oneDNN: " + Dnnl.availability().tried());
  }

  @Test
  void availabilityDescribesWhatWasFound() {
    Availability availability = Dnnl.availability();
    assertTrue(availability.version().startsWith("3."), availability.version());
    assertFalse(availability.tried().isEmpty());
  }

  @Test
  void multipliesMatrices() {
    try (Dnnl dnnl = Dnnl.open(2);
        Arena arena = Arena.ofConfined();
        DnnlDescriptor a = dnnl.descriptor(Dnnl.Type.F32, Dnnl.Tag.AB, 2, 3);
        DnnlDescriptor b = dnnl.descriptor(Dnnl.Type.F32, Dnnl.Tag.BA, 3, 2);
        DnnlDescriptor c = dnnl.descriptor(Dnnl.Type.F32, Dnnl.Tag.AB, 2, 2);
        DnnlPrimitive product = dnnl.matmul(a, b, c)) {
      MemorySegment x = arena.allocateFrom(JAVA_FLOAT, 1, 2, 3, 4, 5, 6);
      MemorySegment y = arena.allocateFrom(JAVA_FLOAT, 1, 0, -1, 2, 1, 0);
      MemorySegment z = arena.allocate(16);
      product.bind(Argument.SRC, x).bind(Argument.WEIGHTS, y).bind(Argument.DST, z);
      if (product.scratchBytes() > 0) {
        assertThrows(IllegalStateException.class, product::execute);
        product.bind(Argument.SCRATCHPAD, arena.allocate(product.scratchBytes(), 64));
      }
      product.execute();
      assertEquals(-2f, z.getAtIndex(JAVA_FLOAT, 0));
      assertEquals(4f, z.getAtIndex(JAVA_FLOAT, 1));
      assertEquals(-2f, z.getAtIndex(JAVA_FLOAT, 2));
      assertEquals(13f, z.getAtIndex(JAVA_FLOAT, 3));
    }
  }

  @Test
  void refusesMemoryThatIsTooSmall() {
    try (Dnnl dnnl = Dnnl.open(1);
        Arena arena = Arena.ofConfined();
        DnnlDescriptor a = dnnl.descriptor(Dnnl.Type.F32, Dnnl.Tag.AB, 2, 2);
        DnnlPrimitive copy = dnnl.matmul(a, a, a)) {
      MemorySegment small = arena.allocate(12);
      assertThrows(IllegalArgumentException.class, () -> copy.bind(Argument.SRC, small));
    }
  }

  @Test
  void anotherHasMemoryOfItsOwnAndAnArgumentCanBeMoved() {
    try (Dnnl dnnl = Dnnl.open(2);
        Arena arena = Arena.ofConfined();
        DnnlDescriptor d = dnnl.descriptor(Dnnl.Type.F32, Dnnl.Tag.AB, 1, 1);
        DnnlPrimitive product = dnnl.matmul(d, d, d);
        DnnlPrimitive other = product.another()) {
      MemorySegment numbers = arena.allocateFrom(JAVA_FLOAT, 2, 3, 5, 7);
      MemorySegment results = arena.allocate(16);
      MemorySegment scratch = arena.allocate(1 + product.scratchBytes());
      int lane = 0;
      for (DnnlPrimitive p : new DnnlPrimitive[] {product, other}) {
        p.bind(Argument.SRC, numbers, 4L * lane).bind(Argument.WEIGHTS, numbers, 8);
        p.bind(Argument.DST, results, 4L * lane);
        if (p.scratchBytes() > 0) {
          p.bind(Argument.SCRATCHPAD, scratch);
        }
        lane++;
      }
      product.execute(0);
      other.execute(1);
      product.bind(Argument.WEIGHTS, numbers, 12).bind(Argument.DST, results, 8).execute(0);
      assertArrayEquals(new float[] {10, 15, 14, 0}, results.toArray(JAVA_FLOAT));
      assertThrows(IllegalArgumentException.class, () -> product.bind(Argument.SRC, numbers, 16));
      assertThrows(IllegalArgumentException.class, () -> product.bind(Argument.SRC, numbers, -4));
    }
  }

  @Test
  void saysWhichCallFailed() {
    try (Dnnl dnnl = Dnnl.open(1)) {
      ForeignException e =
          assertThrows(
              ForeignException.class, () -> dnnl.descriptor(Dnnl.Type.F32, Dnnl.Tag.ABCD, 1, 2, 3));
      assertEquals("dnnl_memory_desc_create_with_tag", e.function());
      assertTrue(e.getMessage().contains("dnnl_invalid_arguments"), e.getMessage());
    }
  }

  @Test
  void closingTwiceIsHarmless() {
    Dnnl dnnl = Dnnl.open(1);
    DnnlDescriptor d = dnnl.descriptor(Dnnl.Type.F32, Dnnl.Tag.AB, 4, 4);
    DnnlPrimitive p = dnnl.matmul(d, d, d);
    p.close();
    p.close();
    d.close();
    d.close();
    dnnl.close();
    dnnl.close();
  }
}
