package io.fbnet.nas.space;

import io.fbnet.nas.file.Nearest;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.ServiceLoader;
import java.util.regex.Pattern;

/** Every block that has a name: the paper's and those of the providers on the class path. */
public final class Blocks {
  private static final Pattern NAME = Pattern.compile("[A-Za-z][A-Za-z0-9_]*");

  private Blocks() {}

  /**
   * {@return the block of this name}
   *
   * @param name of one of the paper's kind or of a provider's block
   * @throws IllegalArgumentException with a sentence to show, if there is none
   */
  public static Block parse(String name) {
    if (BlockType.isName(name)) {
      return BlockType.parse(name);
    }
    List<String> known = new ArrayList<>(BlockType.FBNET.stream().map(Block::name).toList());
    List<String> forms = new ArrayList<>(List.of(BlockType.SKIP_NAME, BlockType.FORM));
    for (BlockProvider provider : ServiceLoader.load(BlockProvider.class)) {
      Optional<Block> found = provider.block(name);
      if (found.isPresent()) {
        return found.get();
      }
      known.addAll(provider.examples());
      forms.addAll(provider.examples());
    }
    throw new IllegalArgumentException(
        "'"
            + name
            + "' is no block; "
            + Nearest.to(name, known)
                .map(near -> "did you mean '" + near + "'?")
                .orElseGet(() -> "known: " + String.join(", ", forms)));
  }

  /** Whether a block may be called this. */
  static boolean isName(String name) {
    return NAME.matcher(name).matches();
  }
}
