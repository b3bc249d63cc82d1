package io.fbnet.engine.ranks;

import io.fbnet.engine.backend.Communicator;
import io.fbnet.foreign.SharedPages;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/**
 * Memory of each rank of a machine that the others see where it lies. Ranks agree whether all see
 * all of it: those in containers of their own do not see each other's processes.
 */
final class SeenMemory {
  private static final byte[] YES = {1};
  private static final byte[] NO = {};

  private final Consumer<String> notes;
  private final Map<Long, SharedPages> given = new HashMap<>();
  private boolean noted;

  /**
   * None yet.
   *
   * @param notes is told once why ranks do not see each other's memory
   */
  SeenMemory(Consumer<String> notes) {
    this.notes = notes;
  }

  /** Memory of this rank that others may see, or plain memory where the system has no such. */
  MemorySegment allocate(Arena arena, long bytes) {
    try {
      SharedPages pages = SharedPages.create(arena, bytes);
      given.put(pages.memory().address(), pages);
      return pages.memory();
    } catch (IOException e) {
      note(e);
      return arena.allocate(bytes, 64);
    }
  }

  /**
   * The elements of each rank, empty where one does not see another's. All ranks ask.
   *
   * @param own elements of this rank
   */
  List<MemorySegment> ofAll(MemorySegment own, Communicator ranks) {
    SharedPages pages = given.get(own.address());
    // What lay there may be gone, and other memory in its place.
    String name = pages == null || !pages.memory().scope().isAlive() ? "" : pages.name();
    List<byte[]> told = ranks.gather(name.getBytes(StandardCharsets.UTF_8));
    List<MemorySegment> all = new ArrayList<>();
    try {
      for (int i = 0; i < told.size(); i++) {
        String other = new String(told.get(i), StandardCharsets.UTF_8);
        if (other.isEmpty()) {
          break;
        }
        MemorySegment memory = i == ranks.rank() ? own : SharedPages.open(Arena.ofAuto(), other);
        if (memory.byteSize() < own.byteSize()) {
          break;
        }
        all.add(memory.asSlice(0, own.byteSize()));
      }
    } catch (IOException e) {
      note(e);
    }
    boolean mine = all.size() == told.size();
    boolean everybody =
        ranks.gather(mine ? YES : NO).stream().allMatch(answer -> answer.length > 0);
    return everybody ? List.copyOf(all) : List.of();
  }

  private void note(IOException e) {
    if (!noted) {
      noted = true;
      notes.accept(
          "ranks do not see each other's gradients where they lie and copy them to exchange them: "
              + e.getMessage());
    }
  }
}
