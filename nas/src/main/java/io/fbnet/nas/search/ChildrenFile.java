package io.fbnet.nas.search;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.nas.UserException;
import io.fbnet.nas.file.AtomicFile;
import io.fbnet.nas.file.Document;
import io.fbnet.nas.file.JsonText;
import io.fbnet.nas.file.Node;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * A run's {@code children.json}: what networks of a search reached when they were trained from
 * scratch, and which was kept.
 *
 * @param children in the order in which they were trained
 * @param testAccuracy of the one kept on the test images, 0 to 1
 * @param testImages how many those are
 */
public record ChildrenFile(List<Child> children, double testAccuracy, int testImages) {
  private static final int FORMAT = 1;
  private static final int MOST = 1 << 20;

  /**
   * A trained network.
   *
   * @param blocks names of its blocks, one a layer
   * @param latencyMs the table's sum
   * @param accuracy on the training images that were held out, 0 to 1
   * @param kept whether it is the one kept
   */
  public record Child(List<String> blocks, double latencyMs, double accuracy, boolean kept) {
    /** Copies the list. */
    public Child {
      blocks = List.copyOf(blocks);
    }
  }

  /** Copies the list. */
  public ChildrenFile {
    children = List.copyOf(children);
  }

  /** {@return the one kept} */
  public Child kept() {
    return children.stream().filter(Child::kept).findFirst().orElseThrow();
  }

  /**
   * Writes the JSON file, whole or not at all.
   *
   * @param target to write
   * @throws UserException (exit code 5) if it cannot be written
   */
  public void write(Path target) {
    ObjectNode tree = JsonNodeFactory.instance.objectNode();
    tree.put("format", FORMAT);
    tree.put("test_accuracy", testAccuracy).put("test_images", testImages);
    ArrayNode list = tree.putArray("children");
    for (Child child : children) {
      ObjectNode item = list.addObject();
      item.put("kept", child.kept());
      item.put("latency_ms", child.latencyMs()).put("accuracy", child.accuracy());
      ArrayNode blocks = item.putArray("blocks");
      child.blocks().forEach(blocks::add);
    }
    AtomicFile.writeText(target, JsonText.of(tree));
  }

  /**
   * {@return what a JSON file says}
   *
   * @param file to read
   * @throws UserException (exit code 3) if it is missing or wrong
   */
  public static ChildrenFile read(Path file) {
    Node.Fields fields =
        Document.json(file).fields("format", "test_accuracy", "test_images", "children");
    fields.required("format").requireVersion(FORMAT);
    List<Child> children = new ArrayList<>();
    int kept = 0;
    for (Node node : fields.required("children").list(1, MOST)) {
      Node.Fields item = node.fields("kept", "latency_ms", "accuracy", "blocks");
      kept += item.required("kept").flag() ? 1 : 0;
      if (kept > 1) {
        throw item.required("kept").wrong("marks a second one as kept");
      }
      children.add(
          new Child(
              item.required("blocks").list(1, MOST).stream().map(Node::text).toList(),
              item.required("latency_ms").number(0, Double.MAX_VALUE),
              item.required("accuracy").number(0, 1),
              item.required("kept").flag()));
    }
    if (kept == 0) {
      throw fields.required("children").wrong("marks none as kept");
    }
    return new ChildrenFile(
        children,
        fields.required("test_accuracy").number(0, 1),
        fields.required("test_images").integer(0, Integer.MAX_VALUE));
  }
}
