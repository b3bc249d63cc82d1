package io.fbnet.nas;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.networknt.schema.JsonSchema;
import com.networknt.schema.JsonSchemaFactory;
import com.networknt.schema.SchemaLocation;
import com.networknt.schema.SpecVersion;
import io.fbnet.nas.kit.Kit;
import io.fbnet.nas.kit.OrtMeter;
import io.fbnet.nas.latency.Fingerprint;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.run.Checkpoints;
import io.fbnet.nas.run.MetricsLog;
import io.fbnet.nas.run.Tensor;
import io.fbnet.nas.search.SamplesFile;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.BlockType;
import io.fbnet.nas.space.SearchSpace;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Holds every file that is written against its published schema, and wrong ones against it too. */
class SchemaTest {
  private static final ObjectMapper JSON = new ObjectMapper();

  @TempDir Path folder;

  private static JsonSchema schema(String name) throws IOException {
    try (InputStream in = SchemaTest.class.getResourceAsStream("schema/" + name + ".schema.json")) {
      assertNotNull(in, name);
      JsonNode tree = JSON.readTree(in);
      JsonSchema meta =
          JsonSchemaFactory.getInstance(SpecVersion.VersionFlag.V202012)
              .getSchema(SchemaLocation.of(tree.get("$schema").asText()));
      assertEquals(Set.of(), meta.validate(tree), name + " is no schema");
      return JsonSchemaFactory.getInstance(SpecVersion.VersionFlag.V202012).getSchema(tree);
    }
  }

  private static void fits(JsonSchema schema, JsonNode tree) {
    assertEquals(Set.of(), schema.validate(tree));
  }

  private static void doesNotFit(JsonSchema schema, JsonNode tree) {
    assertFalse(schema.validate(tree).isEmpty(), "the schema takes " + tree);
  }

  private static ObjectNode with(ObjectNode tree, String pointer, String key, Object value) {
    ObjectNode copy = tree.deepCopy();
    ((ObjectNode) copy.at(pointer)).set(key, JSON.valueToTree(value));
    return copy;
  }

  private static ObjectNode without(ObjectNode tree, String key) {
    ObjectNode copy = tree.deepCopy();
    copy.remove(key);
    return copy;
  }

  @Test
  void architectures() throws IOException {
    JsonSchema schema = schema("architecture");
    for (String name : Architecture.builtIns()) {
      fits(schema, Architecture.load(name).json());
    }
    SearchSpace odd = SearchSpace.load("cifar").withInput(new SearchSpace.Input(3, 20, 30));
    ObjectNode good = Architecture.of("odd", odd, new int[22]).json();
    fits(schema, good);
    doesNotFit(schema, with(good, "", "hed", 3));
    doesNotFit(schema, with(good, "", "head", 0));
    doesNotFit(schema, with(good, "", "format", 2));
    doesNotFit(schema, with(good, "", "blocks", List.of("k4_e1")));
    doesNotFit(schema, with(good, "/space", "classes", 1));
    doesNotFit(schema, without(good, "space"));
    doesNotFit(schema, without(good, "blocks"));
  }

  @Test
  void latencyTables() throws IOException {
    JsonSchema schema = schema("latency-table");
    for (String name : LatencyTable.builtIns()) {
      fits(schema, LatencyTable.load(name).json());
    }
    double[][] ms = new double[9][9];
    ObjectNode good =
        LatencyTable.builder("box", SearchSpace.load("fashion"))
            .fixed(1)
            .layers(ms)
            .spread(ms)
            .fixedSpread(0.1)
            .origin("here")
            .fingerprint(Fingerprint.of("cpu", 2, Map.of("oneDNN", "3.13"), "f32", 1, "2026-07-01"))
            .build()
            .json();
    fits(schema, good);
    doesNotFit(schema, with(good, "", "unit", "us"));
    doesNotFit(schema, with(good, "", "fixed", "1"));
    doesNotFit(schema, with(good, "", "fixd", 1));
    doesNotFit(schema, with(good, "/fingerprint", "batch", 0));
    doesNotFit(schema, with(good, "/space", "strides", List.of(3)));
    doesNotFit(schema, without(good, "relative"));
  }

  @Test
  void manifests() throws IOException {
    JsonSchema schema = schema("manifest");
    MemorySegment data = MemorySegment.ofArray(new float[] {1});
    Path checkpoint =
        new Checkpoints(folder, 2)
            .write(
                new Checkpoints.Snapshot(
                    4,
                    1,
                    "w",
                    Map.of("weights", List.of(Tensor.of("w", Tensor.Type.F32, data, 1))),
                    Map.of("threads", "2"),
                    "sha256:00",
                    JSON.createObjectNode().put("tau", 5.0)));
    ObjectNode good =
        (ObjectNode) JSON.readTree(Files.readString(checkpoint.resolve("manifest.json")));
    fits(schema, good);
    doesNotFit(schema, with(good, "", "step", -1));
    doesNotFit(schema, with(good, "", "phase", ""));
    doesNotFit(schema, with(good, "/files/0", "sha256", "abc"));
    doesNotFit(schema, with(good, "/files/0", "name", "../x"));
    doesNotFit(schema, with(good, "/environment", "threads", 2));
    doesNotFit(schema, without(good, "state"));
  }

  @Test
  void metrics() throws IOException {
    JsonSchema schema = schema("metrics");
    Path path = folder.resolve("metrics.jsonl");
    try (MetricsLog log = MetricsLog.open(path)) {
      log.append(3, Map.of("loss", Double.NaN, "phase", "w"));
    }
    ObjectNode good = MetricsLog.read(path).get(0);
    fits(schema, good);
    doesNotFit(schema, with(good, "", "step", "3"));
    doesNotFit(schema, with(good, "", "format", 2));
    doesNotFit(schema, without(good, "step"));
  }

  @Test
  void samples() throws IOException {
    JsonSchema schema = schema("samples");
    SamplesFile.Sample best =
        new SamplesFile.Sample(BlockType.FBNET, 0.5, 0.75, Double.NaN, "single-path", true);
    ObjectNode good = new SamplesFile(List.of(best), 0.7, 1000).json();
    fits(schema, good);
    fits(schema, with(good, "/samples/0", "loss", 0.5));
    doesNotFit(schema, with(good, "/samples/0", "drawn", "by hand"));
    doesNotFit(schema, with(good, "/samples/0", "accuracy", 1.5));
    doesNotFit(schema, with(good, "/samples/0", "blocks", List.of("k4_e1")));
    doesNotFit(schema, with(good, "", "format", 2));
    doesNotFit(schema, with(good, "", "tests", 2));
    doesNotFit(schema, without(good, "test_images"));
  }

  @Test
  void latencyKits() throws IOException {
    Path kit = folder.resolve("kit");
    SearchSpace small =
        new SearchSpace(
            "small",
            new SearchSpace.Input(1, 4, 4),
            2,
            new SearchSpace.Stem(2, 1),
            List.of(new SearchSpace.Stage(2, 1, 1)),
            2,
            List.of(BlockType.parse("k3_e1"), BlockType.SKIP),
            true);
    Kit.write(small, 1, false, kit, (done, total, what) -> {});
    JsonSchema schema = schema("kit-manifest");
    ObjectNode good = (ObjectNode) JSON.readTree(Files.readString(kit.resolve("manifest.json")));
    fits(schema, good);
    doesNotFit(schema, with(good, "", "kind", "x"));
    doesNotFit(schema, with(good, "", "batch", 0));
    doesNotFit(schema, with(good, "/files/0", "sha256", "abc"));
    doesNotFit(schema, with(good, "/files/0", "part", "block"));
    doesNotFit(schema, with(good, "/files/0/input", "shape", List.of(1, 2)));
    doesNotFit(schema, with(good, "/protocol", "rounds", 0));
    doesNotFit(schema, without(good, "protocol"));

    Path file = folder.resolve("result.json");
    new OrtMeter(1).run(kit, "box", file, (done, total, what) -> {});
    JsonSchema results = schema("kit-result");
    ObjectNode result = (ObjectNode) JSON.readTree(Files.readString(file));
    fits(results, result);
    doesNotFit(results, with(result, "", "threads", 0));
    doesNotFit(results, with(result, "", "thread", 1));
    doesNotFit(results, with(result, "/times/0", "median_ms", 0));
    doesNotFit(results, without(result, "provider"));
  }

  @Test
  void theSchemasNameEveryBlock() throws IOException {
    JsonSchema schema = schema("architecture");
    for (SearchSpace space : SearchSpace.builtIns().stream().map(SearchSpace::load).toList()) {
      ObjectNode tree = JSON.createObjectNode().put("space", space.name());
      ArrayNode blocks = tree.putArray("blocks");
      space.blockNames().forEach(blocks::add);
      fits(schema, tree);
    }
  }

  @Test
  void theDocumentedExamplesAreRead() throws IOException {
    String text = Files.readString(Path.of("..", "docs", "formats.md"));
    Path space = Files.writeString(folder.resolve("s.yaml"), example(text, "yaml"));
    assertEquals(SearchSpace.load("fashion"), SearchSpace.load(space.toString()));
    Path file = Files.writeString(folder.resolve("a.json"), example(text, "json"));
    assertEquals(128, Architecture.load(file.toString()).space().head());
  }

  private static String example(String text, String language) {
    int start = text.indexOf("```" + language + "\n") + language.length() + 4;
    return text.substring(start, text.indexOf("```", start));
  }
}
