package io.fbnet.nas.train;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.fbnet.engine.graph.ParameterLayout;
import io.fbnet.engine.graph.Shape;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.program.ParameterStore;
import io.fbnet.nas.run.Safetensors;
import io.fbnet.nas.run.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** A parameter store's buffers as named tensors of a file, and back. */
public final class StoreTensors {
  private StoreTensors() {}

  /**
   * {@return the tensors of one buffer, copied to the host}
   *
   * @param store what holds the buffer
   * @param set the parameter set
   * @param buffer the buffer's name, such as {@code velocity}
   * @param prefix what the tensors' names begin with in the file; may be empty
   * @param arena of the tensors' memory
   */
  public static List<Tensor> of(
      ParameterStore store, String set, String buffer, String prefix, Arena arena) {
    ParameterLayout layout = store.layout(set);
    MemorySegment host = arena.allocate(layout.size() * Float.BYTES, 64);
    store.save(set, buffer, host);
    List<Tensor> tensors = new ArrayList<>();
    for (ParameterLayout.Entry entry : layout.entries()) {
      tensors.add(
          Tensor.of(
              prefix + entry.spec().name(),
              Tensor.Type.F32,
              slice(host, entry),
              dimensions(entry.spec().shape())));
    }
    return tensors;
  }

  /**
   * Reads every tensor of a buffer back.
   *
   * @param reader the file
   * @param store what holds the buffer
   * @param set the parameter set
   * @param buffer the buffer's name
   * @param prefix what the tensors' names begin with in the file; may be empty
   * @throws io.fbnet.nas.UserException (exit code 3) if the file lacks a tensor, has it of another
   *     shape or type, or is damaged; (exit code 5) if it cannot be read
   */
  public static void restore(
      Safetensors.Reader reader, ParameterStore store, String set, String buffer, String prefix) {
    ParameterLayout layout = store.layout(set);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment host = arena.allocate(layout.size() * Float.BYTES, 64);
      for (ParameterLayout.Entry entry : layout.entries()) {
        reader.read(
            Tensor.of(
                prefix + entry.spec().name(),
                Tensor.Type.F32,
                slice(host, entry),
                dimensions(entry.spec().shape())));
      }
      store.load(set, buffer, host);
    }
  }

  /**
   * Overwrites one tensor of a buffer.
   *
   * @param store what holds the buffer
   * @param set the parameter set
   * @param buffer the buffer's name
   * @param name of the tensor; nothing happens where the set has none
   * @param values its numbers in row-major order
   */
  public static void load(
      ParameterStore store, String set, String buffer, String name, float[] values) {
    ParameterLayout layout = store.layout(set);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment host = arena.allocate(layout.size() * Float.BYTES, 64);
      store.save(set, buffer, host);
      for (ParameterLayout.Entry entry : layout.entries()) {
        if (entry.spec().name().equals(name)) {
          MemorySegment.copy(values, 0, slice(host, entry), JAVA_FLOAT, 0, values.length);
        }
      }
      store.load(set, buffer, host);
    }
  }

  /**
   * Overwrites the values of some tensors, whichever sets they lie in.
   *
   * @param store what holds them
   * @param tensors numbers in row-major order by name, as many as the tensor has
   */
  static void load(ParameterStore store, Map<String, float[]> tensors) {
    for (String set : store.sets()) {
      ParameterLayout layout = store.layout(set);
      try (Arena arena = Arena.ofConfined()) {
        MemorySegment host = arena.allocate(layout.size() * Float.BYTES, 64);
        store.save(set, Storage.Flat.VALUES, host);
        for (ParameterLayout.Entry entry : layout.entries()) {
          float[] values = tensors.get(entry.spec().name());
          if (values != null) {
            slice(host, entry).copyFrom(MemorySegment.ofArray(values));
          }
        }
        store.load(set, Storage.Flat.VALUES, host);
      }
    }
  }

  private static MemorySegment slice(MemorySegment host, ParameterLayout.Entry entry) {
    return host.asSlice(
        entry.offset() * Float.BYTES, entry.spec().shape().elements() * Float.BYTES);
  }

  private static long[] dimensions(Shape shape) {
    long[] dimensions = new long[shape.rank()];
    for (int i = 0; i < dimensions.length; i++) {
      dimensions[i] = shape.get(i);
    }
    return dimensions;
  }
}
