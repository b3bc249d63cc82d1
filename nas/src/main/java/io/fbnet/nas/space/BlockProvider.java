package io.fbnet.nas.space;

import java.util.List;
import java.util.Optional;

/**
 * Finds blocks by name, so that files can name blocks of your own. List an implementation in {@code
 * META-INF/services/io.fbnet.nas.space.BlockProvider} of a jar on the class path.
 */
public interface BlockProvider {
  /** The block of this name, if it is one of this provider's. */
  Optional<Block> block(String name);

  /** Names to suggest where none is found. */
  List<String> examples();
}
