package io.fbnet.engine.cpu;

import io.fbnet.engine.backend.Precision;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.lang.constant.ConstantDescs;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.nio.ByteOrder;
import java.util.Objects;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorSpecies;

/**
 * How loops on the Vector API read and write vectors: by addresses of one segment that covers all
 * memory, for the checks of each access in a segment of its own make the compiler's work several
 * times longer and have to be compiled again whenever one turns out otherwise than before.
 *
 * <p>A class of loops is defined a second time for bf16, with that said in its class data: to
 * Java's compilers its loops are others, with conversions where vectors are loaded and stored, and
 * no branch on the type.
 */
@SuppressWarnings("restricted") // all memory
final class VectorMemory {
  static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
  static final int LANES = SPECIES.length();
  private static final VectorSpecies<Integer> BITS =
      VectorSpecies.of(int.class, SPECIES.vectorShape());
  private static final VectorSpecies<Short> HALVES =
      VectorSpecies.of(short.class, VectorShape.forBitSize(Short.SIZE * LANES));
  private static final ByteOrder ORDER = ByteOrder.nativeOrder();
  private static final MemorySegment MEMORY = MemorySegment.NULL.reinterpret(Long.MAX_VALUE);

  private VectorMemory() {}

  /** {@return an object of the caller's class, defined anew for bf16} */
  static Object anewForBf16(MethodHandles.Lookup lookup) {
    Class<?> loops = lookup.lookupClass();
    try (InputStream code = loops.getResourceAsStream(loops.getSimpleName() + ".class")) {
      MethodHandles.Lookup defined =
          lookup.defineHiddenClassWithClassData(code.readAllBytes(), Precision.BF16, true);
      return defined
          .findConstructor(defined.lookupClass(), MethodType.methodType(void.class))
          .invoke();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    } catch (Throwable e) {
      throw new IllegalStateException("the loops over bf16 could not be defined", e);
    }
  }

  /** Whether the caller's class is the one that was defined for bf16. */
  static boolean isForBf16(MethodHandles.Lookup lookup) {
    try {
      return MethodHandles.classData(lookup, ConstantDescs.DEFAULT_NAME, Precision.class)
          == Precision.BF16;
    } catch (IllegalAccessException e) {
      throw new IllegalStateException(e);
    }
  }

  /** Where some bytes of a segment begin in all memory, after a look at its bounds. */
  static long address(MemorySegment s, long at, long bytes, long step) {
    Objects.checkFromIndexSize(at, bytes, s.byteSize());
    if (bytes % step != 0) {
      throw new IllegalArgumentException(bytes + " bytes are no whole vectors");
    }
    return s.address() + at;
  }

  static FloatVector loadWide(long address) {
    return FloatVector.fromMemorySegment(SPECIES, MEMORY, address, ORDER);
  }

  static void storeWide(FloatVector v, long address) {
    v.intoMemorySegment(MEMORY, address, ORDER);
  }

  static FloatVector loadNarrow(long address) {
    ShortVector halves = ShortVector.fromMemorySegment(HALVES, MEMORY, address, ORDER);
    IntVector bits = (IntVector) halves.convertShape(VectorOperators.ZERO_EXTEND_S2I, BITS, 0);
    return bits.lanewise(VectorOperators.LSHL, Bf16.SHIFT).reinterpretAsFloats();
  }

  /**
   * Rounds to the nearest, to even between two, as {@link Bf16#round} does: with few constants, for
   * the compiler loads each anew for every vector.
   */
  static void storeNarrow(FloatVector v, long address) {
    IntVector bits = v.reinterpretAsInts();
    // -1 where the last bit that is kept is odd.
    IntVector odd =
        bits.lanewise(VectorOperators.LSHL, Bf16.SHIFT - 1)
            .lanewise(VectorOperators.ASHR, Integer.SIZE - 1);
    IntVector rounded = bits.add(Bf16.HALF).sub(odd).lanewise(VectorOperators.LSHR, Bf16.SHIFT);
    IntVector made = rounded.blend(Bf16.NAN, v.compare(VectorOperators.NE, v).cast(BITS));
    ((ShortVector) made.convertShape(VectorOperators.I2S, HALVES, 0))
        .intoMemorySegment(MEMORY, address, ORDER);
  }
}
