package io.fbnet.nas.space;

import java.util.List;
import java.util.Optional;

/**
 * Finds blocks by name, so that files can name blocks of your own. List an implementation in {@code
 * META-INF/services/io.fbnet.nas.space.BlockProvider} of a jar on the class path.
 */
public interface BlockProvider {
  /**
   * {@return the block of this name, if it is one of this provider's}
   *
   * @param name as a file or flag has it
   */
  Optional<Block> block(String name);

  /** {@return names to suggest where none is found} */
  List<String> examples();
}
