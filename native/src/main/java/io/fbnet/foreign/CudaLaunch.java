package io.fbnet.foreign;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** A kernel with its shape and arguments packed; the thread that made it launches and closes it. */
public final class CudaLaunch implements AutoCloseable {
  private final CudaFunction function;
  private final int[] grid;
  private final int[] block;
  private final int sharedBytes;
  private final Arena arena = Arena.ofConfined();
  private final MemorySegment parameters;
  private boolean closed;

  CudaLaunch(
      CudaFunction function, int[] grid, int[] block, int sharedBytes, CudaArguments arguments) {
    this.function = function;
    this.grid = grid.clone();
    this.block = block.clone();
    this.sharedBytes = sharedBytes;
    parameters = arguments.pack(arena);
  }

  /** Enqueues the kernel. */
  public void on(CudaStream stream) {
    function.launch(stream, grid, block, sharedBytes, parameters);
  }

  @Override
  public void close() {
    if (!closed) {
      closed = true;
      arena.close();
    }
  }
}
