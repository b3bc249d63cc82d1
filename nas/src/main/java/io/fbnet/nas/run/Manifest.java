package io.fbnet.nas.run;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.nas.UserException;
import io.fbnet.nas.file.Document;
import io.fbnet.nas.file.IoReason;
import io.fbnet.nas.file.JsonText;
import io.fbnet.nas.file.Node;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.regex.Pattern;

/**
 * What a checkpoint holds. The file {@code manifest.json} is written last: a checkpoint without it
 * was never finished.
 *
 * @param step optimiser steps done, the number in the folder's name
 * @param epoch epochs done
 * @param phase where in a run it was taken, in the run's own words
 * @param files what lies beside the manifest
 * @param environment under what conditions it was computed (threads, instruction set, library,
 *     precision); another one may compute other bits
 * @param data the fingerprint of the images, empty where it is not known
 * @param state anything else that a resumed run needs
 */
public record Manifest(
    long step,
    int epoch,
    String phase,
    List<Entry> files,
    SortedMap<String, String> environment,
    String data,
    JsonNode state) {
  static final int FORMAT = 1;
  static final String FILE = "manifest.json";

  private static final Pattern NAME = Pattern.compile("[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}");
  private static final Pattern SHA256 = Pattern.compile("[0-9a-f]{64}");

  /**
   * One file of a checkpoint.
   *
   * @param name without a folder
   * @param bytes its length
   * @param sha256 in lower-case hexadecimal
   */
  public record Entry(String name, long bytes, String sha256) {}

  /**
   * Copies the collections.
   *
   * @throws IllegalArgumentException if step or epoch is negative
   */
  public Manifest {
    files = List.copyOf(files);
    environment = Collections.unmodifiableSortedMap(new TreeMap<>(environment));
    if (step < 0 || epoch < 0) {
      throw new IllegalArgumentException("step and epoch start at 0");
    }
  }

  String text() {
    ObjectNode tree = JsonNodeFactory.instance.objectNode();
    tree.put("format", FORMAT).put("step", step).put("epoch", epoch).put("phase", phase);
    var list = tree.putArray("files");
    for (Entry file : files) {
      list.addObject()
          .put("name", file.name())
          .put("bytes", file.bytes())
          .put("sha256", file.sha256());
    }
    environment.forEach(tree.putObject("environment")::put);
    if (!data.isEmpty()) {
      tree.put("data", data);
    }
    tree.set("state", state);
    return JsonText.of(tree);
  }

  /** Reads a manifest strictly; anything wrong is refused (exit code 3). */
  static Manifest read(Path path) {
    Node.Fields fields =
        Document.json(path)
            .fields("format", "step", "epoch", "phase", "files", "environment", "data", "state");
    fields.required("format").requireVersion(FORMAT);
    List<Entry> files = new ArrayList<>();
    for (Node item : fields.required("files").list(0, 1000)) {
      Node.Fields file = item.fields("name", "bytes", "sha256");
      Node name = file.required("name");
      if (!NAME.matcher(name.text()).matches()) {
        throw name.wrong("must be a plain file name, but is " + name.shown());
      }
      Node sha256 = file.required("sha256");
      if (!SHA256.matcher(sha256.text()).matches()) {
        throw sha256.wrong("must be 64 lower-case hexadecimal digits, but is " + sha256.shown());
      }
      files.add(
          new Entry(name.text(), file.required("bytes").integer(0, Long.MAX_VALUE), sha256.text()));
    }
    TreeMap<String, String> environment = new TreeMap<>();
    for (Map.Entry<String, Node> entry : fields.required("environment").mapping().entrySet()) {
      environment.put(entry.getKey(), entry.getValue().text());
    }
    fields.required("state");
    return new Manifest(
        fields.required("step").integer(0, Long.MAX_VALUE),
        fields.required("epoch").integer(0, Integer.MAX_VALUE),
        fields.required("phase").text(),
        files,
        environment,
        fields.optional("data").map(Node::text).orElse(""),
        state(path));
  }

  /** The free part as Jackson's own tree, which {@link Node} is not. */
  private static JsonNode state(Path path) {
    try {
      return new ObjectMapper().readTree(Files.readAllBytes(path)).path("state");
    } catch (IOException e) {
      throw UserException.data("%s cannot be read (%s)", path, IoReason.of(e));
    }
  }
}
