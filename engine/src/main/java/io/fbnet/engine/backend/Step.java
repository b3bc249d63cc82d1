package io.fbnet.engine.backend;

import io.fbnet.engine.graph.Value;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.function.Function;

/**
 * What a device carries out in one go: one operation, or several that it runs together.
 *
 * @param inputs the values it reads that were there before it
 * @param outputs the values it leaves; what it makes only for itself is not among them
 * @param kernel prepares it, given the place of each of these values
 */
public record Step(
    List<Value> inputs,
    List<Value> outputs,
    Function<Function<Value, MemorySegment>, Kernel> kernel) {}
