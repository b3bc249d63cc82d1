package io.fbnet.engine.graph;

/**
 * One tensor of a graph.
 *
 * @param id unique in its graph
 * @param name for messages
 * @param shape static dimensions
 * @param type element type
 */
public record Value(int id, String name, Shape shape, Type type) {
  @Override
  public boolean equals(Object other) {
    return other instanceof Value v && v.id == id && v.name.equals(name) && v.shape.equals(shape);
  }

  @Override
  public int hashCode() {
    return id;
  }

  @Override
  public String toString() {
    return name + shape;
  }
}
