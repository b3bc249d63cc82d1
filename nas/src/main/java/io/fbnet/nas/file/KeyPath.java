package io.fbnet.nas.file;

/**
 * Where a value stands within a file: a chain, so that deep values of long keys cost no more than
 * their file has bytes.
 *
 * @param outer where the mapping or list stands that the value is in; null for the whole file
 * @param name the key in that mapping; null in a list
 * @param index the place in that list, from 0
 */
record KeyPath(KeyPath outer, String name, int index) {
  /** The whole file. */
  static final KeyPath WHOLE = new KeyPath(null, "", 0);

  KeyPath key(String of) {
    return new KeyPath(this, of, 0);
  }

  KeyPath element(int at) {
    return new KeyPath(this, null, at);
  }

  /** Such as {@code stages[2].width}; empty for the whole file. */
  @Override
  public String toString() {
    StringBuilder words = new StringBuilder();
    append(words);
    return words.toString();
  }

  /** Whether this is the whole file. */
  boolean isWhole() {
    return outer == null;
  }

  private void append(StringBuilder words) {
    if (isWhole()) {
      return;
    }
    outer.append(words);
    if (name == null) {
      words.append('[').append(index).append(']');
    } else {
      words.append(outer.isWhole() ? "" : ".").append(name);
    }
  }
}
