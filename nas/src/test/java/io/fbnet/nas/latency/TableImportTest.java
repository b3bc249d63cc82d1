package io.fbnet.nas.latency;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.nas.ExitCode;
import io.fbnet.nas.Refusals;
import io.fbnet.nas.file.JsonText;
import io.fbnet.nas.latency.TableImport.Request;
import io.fbnet.nas.latency.TableImport.Unit;
import io.fbnet.nas.space.BlockType;
import io.fbnet.nas.space.SearchSpace;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TableImportTest {
  /** Odd sides, a layer twice, and a skip that changes the shape. */
  private static final SearchSpace SPACE =
      new SearchSpace(
          "tiny",
          new SearchSpace.Input(3, 9, 7),
          4,
          new SearchSpace.Stem(8, 2),
          List.of(new SearchSpace.Stage(8, 2, 1), new SearchSpace.Stage(16, 1, 2)),
          24,
          List.of(BlockType.parse("k3_e3"), BlockType.parse("k5_e6"), BlockType.SKIP),
          true);

  private static final double[][] MS = {{1, 2, 0}, {1, 2, 0}, {3, 4, 0.5}};

  @TempDir Path folder;
  private final List<String> notes = new ArrayList<>();

  private Request request() {
    return request(OptionalDouble.empty());
  }

  private Request request(OptionalDouble fixed) {
    return new Request(
        Optional.of(SPACE),
        Optional.empty(),
        fixed,
        Optional.empty(),
        OptionalInt.empty(),
        false,
        notes::add);
  }

  private Request full(Unit unit, double fixed, boolean relative) {
    return new Request(
        Optional.of(SPACE),
        Optional.of(unit),
        OptionalDouble.of(fixed),
        Optional.of("box"),
        OptionalInt.of(2),
        relative,
        notes::add);
  }

  private Path file(String text) throws IOException {
    return Files.writeString(folder.resolve("given"), text);
  }

  private static LatencyTable table() {
    return LatencyTable.builder("box", SPACE)
        .fixed(0.25)
        .layers(MS)
        .validated("by hand")
        .origin("here; MIT, licence")
        .fingerprint(Fingerprint.of("chip", 2, Map.of("lib", "1"), "f32", 4, "2026-01-01"))
        .build();
  }

  private static void equal(double[][] expected, double[][] found) {
    for (int l = 0; l < expected.length; l++) {
      assertArrayEquals(expected[l], found[l], 1e-12);
    }
  }

  private Path export(LatencyTable table, TableExport.Format format, SearchSpace space) {
    Path file = folder.resolve("exported");
    TableExport.write(table, format, Optional.of(space), notes::add, file);
    return file;
  }

  @Test
  void plainJsonComesBackWhole() {
    Path file = export(table(), TableExport.Format.JSON, SPACE);
    assertEquals(table().json(), TableImport.read(file, request()).json());
    assertEquals(List.of(), notes);
  }

  @Test
  void aTableIsTakenAsItIs() throws IOException {
    Path file = file(JsonText.of(table().json()));
    assertEquals(table().json(), TableImport.read(file, request()).json());
  }

  @Test
  void everyBuiltInTableGoesThroughJsonAndText() {
    SearchSpace cifar = SearchSpace.load("cifar").withClasses(100);
    for (String name : LatencyTable.builtIns()) {
      LatencyTable table = LatencyTable.load(name);
      for (TableExport.Format format : List.of(TableExport.Format.JSON, TableExport.Format.TEXT)) {
        Path file = export(table, format, cifar);
        Request request =
            new Request(
                Optional.of(cifar),
                Optional.empty(),
                OptionalDouble.empty(),
                Optional.empty(),
                OptionalInt.empty(),
                false,
                notes::add);
        LatencyTable back = TableImport.read(file, request);
        equal(table.layers(), back.layers());
        assertEquals(table.fixed(), back.fixed());
        assertEquals(table.relative(), back.relative());
        assertEquals(table.device(), back.device());
        assertEquals(table.fingerprint().batch(), back.fingerprint().batch());
      }
      Refusals.data(() -> export(table, TableExport.Format.PROXYLESS, cifar), "differences");
    }
    assertEquals(List.of(), notes);
  }

  /** The form in which fits to published latencies are kept. */
  private static String fitted(String macro, double error, double tau) {
    String row = "[1,1,1,1,1,1,1,1,0],".repeat(22);
    return """
    {"device": "phone", "unit": "ms", "batch": 32, "macro": "%s",
     "blocks": ["k3_e1","k3_e1_g2","k3_e3","k3_e6","k5_e1","k5_e1_g2","k5_e3","k5_e6","skip"],
     "fixed": 7.5, "relative_to": "skip",
     "layers": [%s],
     "held_out": {"architectures": 1000, "rmse_over_mean": %s, "kendall_tau": %s},
     "source": "a fit (MIT)"}
    """
        .formatted(macro, row.substring(0, row.length() - 1), error, tau);
  }

  @Test
  void fitsToPublishedLatenciesKeepWhatTheySay() throws IOException {
    Request nothing =
        new Request(
            Optional.empty(),
            Optional.empty(),
            OptionalDouble.empty(),
            Optional.empty(),
            OptionalInt.empty(),
            false,
            notes::add);
    LatencyTable table =
        TableImport.read(file(fitted("fbnet-cifar (32x32 input)", 0.13591, 0.767)), nothing);
    table.requireFits(SearchSpace.load("cifar"), w -> {});
    assertEquals(100, table.space().classes());
    // Word for word what the built-in table of the same fit says.
    assertEquals(LatencyTable.load("samsung_a50").validated(), table.validated());
    assertEquals("a fit (MIT)", table.origin());
    assertEquals(32, table.fingerprint().batch());
    assertTrue(table.relative());
    assertEquals(
        LatencyTable.load("raspi4").validated(),
        TableImport.read(file(fitted("fbnet-cifar", 0, 1)), nothing).validated());
    String free = fitted("fbnet-cifar", 0, 1).replace("7.5", "-1.3e-14");
    assertEquals(0, TableImport.read(file(free), nothing).fixed());
    Path other = file(fitted("something else", 0, 1));
    Refusals.refused(ExitCode.USAGE, () -> TableImport.read(other, nothing), "--space");
    Refusals.data(() -> TableImport.read(other, request()), "line 2", "blocks", "tiny");
  }

  @Test
  void rowsOfNumbers() throws IOException {
    LatencyTable plain =
        TableImport.read(
            file("# mine\n1000, 2000, 0\n1000;2000\t0 # twice\n\n3e3 4000. 500\n"),
            full(Unit.US, 250, false));
    equal(MS, plain.layers());
    assertEquals(0.25, plain.fixed());
    assertEquals("box", plain.device());
    assertEquals(2, plain.fingerprint().batch());
    LatencyTable named =
        TableImport.read(
            file(
                """
                device a phone
                unit: ms
                fixed = 0.25
                layer skip k7_e1 k5_e6 k3_e3
                L1 0 9 2 1
                L2 0 9 2 1
                L3 0.5 9 4 3
                """),
            request());
    equal(MS, named.layers());
    assertEquals("a phone", named.device());
    assertEquals(1, notes.size());
    assertTrue(notes.getFirst().contains("1 columns") && notes.getFirst().contains("k7_e1"));
    assertTrue(TableImport.read(file("-1 2 0\n1 2 0\n3 4 0"), full(Unit.MS, 5, true)).relative());
  }

  @Test
  void wrongRowsAreRefused() throws IOException {
    refused("1 2 0\n1 2 0\n", "2 rows", "3 layers");
    refused("1 2 0\n1 2 0\n1 2 0\n1 2 0\n", "line 4", "row 4");
    refused("1 2 0\n1 2\n", "line 2", "3 numbers");
    refused("L1\n1 2 0\n", "line 1", "3 numbers", "not 0");
    refused(" , \n", "line 1", "3 numbers", "not 0");
    refused("1 2 0\n1 x 0\n1 2 0", "line 2", "'x'");
    refused("1 2 0\n1 NaN 0\n1 2 0", "line 2", "'NaN'");
    refused("1 2 0\n1 1e999 0\n1 2 0", "line 2", "'1e999'");
    refused("k3_e3 skip\n1 2\n", "line 1", "lacks 1 of the 3", "k5_e6");
    refused("k3_e3 k5_e6 skip skip\n1 2 0 0\n", "line 1", "twice");
    refused("1 2 0\nL3 1 2 0\n1 2 0", "line 2", "L2 is next");
    refused("1 2 0\n1 -2 0\n1 2 0", "L2 and k5_e6", "--relative");
    refused("unit s\n1 2 0\n1 2 0\n1 2 0", "ms or us");
    refused("fixed a\ndevice x\nunit ms\n1 2 0\n1 2 0\n1 2 0", "'fixed'");
    refused("device x\ndevice y\n", "line 2", "second time");
    refused("", "0 rows");
    Path rows = file("1 2 0\n1 2 0\n1 2 0\n");
    Refusals.refused(ExitCode.USAGE, () -> TableImport.read(rows, request()), "--unit");
    Path united = file("unit ms\n1 2 0\n1 2 0\n1 2 0\n");
    Refusals.refused(ExitCode.USAGE, () -> TableImport.read(united, request()), "--");
    // What no table's file may hold, and a cell over whose digits a search could go back and forth.
    refused("1 2 1e9\n1 2 3\n3 4 5\n", "layers[0][2]", "a day");
    refused("1 2 " + "1".repeat(1 << 20) + "x\n", "line 1", "is no number");
    refused("1 2 " + "1".repeat(1 << 20) + "\n", "line 1", "is no number");
  }

  private void refused(String text, String... words) throws IOException {
    Path file = file(text);
    boolean says = text.contains("unit") || text.contains("fixed") || text.contains("device");
    Request request = says ? request() : full(Unit.MS, 0, false);
    Refusals.data(() -> TableImport.read(file, request), words);
  }

  private static final String PROXYLESS =
      """
      Conv-input:9x7x3-output:5x4x8: {mean: 0.125, count: 3}
      expanded_conv-input:5x4x8-output:5x4x8-expand:3-kernel:3-stride:1-idskip:1: {mean: 1}
      expanded_conv-input:5x4x8-output:5x4x8-expand:3-kernel:3-stride:1-idskip:0: {mean: 9}
      expanded_conv-input:5x4x8-output:5x4x8-expand:6-kernel:5-stride:1-idskip:1: {mean: 2}
      expanded_conv-input:5x4x8-output:3x2x16-expand:3-kernel:3-stride:2-idskip:0: {mean: 3}
      expanded_conv-input:5x4x8-output:3x2x16-expand:6-kernel:5-stride:2-idskip:0:
        mean: 4.0
      Conv_1-input:5x4x8-output:3x2x16: {mean: 0.5}
      Conv_1-input:3x2x16-output:3x2x24: {mean: 0.0625}
      Logits-input:3x2x24-output:4: {mean: 0.0625}
      """;

  private Request named(OptionalDouble fixed) {
    return new Request(
        Optional.of(SPACE),
        Optional.empty(),
        fixed,
        Optional.of("pixel"),
        OptionalInt.empty(),
        false,
        notes::add);
  }

  @Test
  void proxylessTables() throws IOException {
    Request request = named(OptionalDouble.empty());
    LatencyTable table = TableImport.read(file(PROXYLESS), request);
    equal(MS, table.layers());
    assertEquals(0.25, table.fixed());
    assertEquals(1, notes.size());
    assertTrue(notes.getFirst().contains("1 of 9 keys"), notes.getFirst());
    assertTrue(notes.getFirst().contains("idskip:0"), notes.getFirst());
    assertEquals(
        0.75,
        TableImport.read(
                file(PROXYLESS + "AvgPool2D-input:3x2x24-output:1x1x24: {mean: 0.5}\n"), request)
            .fixed());

    Path lacking = file(PROXYLESS.replace("stride:2", "stride:3"));
    Refusals.data(
        () -> TableImport.read(lacking, request), "lacks 2 of the 9", "L3 k3_e3, L3 k5_e6");
    Path headless = file(PROXYLESS.replace("Logits-input", "Other-input"));
    Refusals.data(() -> TableImport.read(headless, request), "Logits-input:3x2x24", "--fixed");
    assertEquals(2, TableImport.read(headless, named(OptionalDouble.of(2))).fixed());
    Path wordy = file(PROXYLESS.replace("mean: 4.0", "mean: four"));
    Refusals.data(() -> TableImport.read(wordy, request), "line 7", "mean", "number");
    Path meanless = file(PROXYLESS.replace("mean: 4.0", "median: 4.0"));
    Refusals.data(() -> TableImport.read(meanless, request), "lacks the field 'mean'");
    Path grouped = file(PROXYLESS);
    Request fbnet =
        new Request(
            Optional.of(SearchSpace.load("cifar")),
            Optional.empty(),
            OptionalDouble.empty(),
            Optional.of("pixel"),
            OptionalInt.empty(),
            false,
            notes::add);
    Refusals.data(() -> TableImport.read(grouped, fbnet), "no key there", "more");
  }

  @Test
  void proxylessTablesComeBack() {
    Path file = export(table(), TableExport.Format.PROXYLESS, SPACE);
    assertEquals(1, notes.size());
    assertTrue(notes.getFirst().contains("--fixed 0.25"), notes.getFirst());
    equal(MS, TableImport.read(file, named(OptionalDouble.of(0.25))).layers());
    LatencyTable other =
        table().toBuilder().layers(new double[][] {{1, 2, 0}, {1.5, 2, 0}, {3, 4, 0}}).build();
    export(other, TableExport.Format.PROXYLESS, SPACE);
    assertTrue(notes.get(1).contains("1 keys"), notes.get(1));
  }

  @Test
  void otherFilesAreRefused() throws IOException {
    Path other = file("{\"a\": 1}");
    Refusals.data(() -> TableImport.read(other, request()), "neither");
    Path list = file("[1, 2]");
    Refusals.data(() -> TableImport.read(list, full(Unit.MS, 0, false)), "line 1");
    Path broken = file("{\"a\": ");
    Refusals.data(() -> TableImport.read(broken, request()), "line 1", "JSON");
    Refusals.data(() -> TableImport.read(folder.resolve("none"), request()), "no file");
    Files.write(folder.resolve("binary"), new byte[] {(byte) 0xff, 0, 1});
    Refusals.data(() -> TableImport.read(folder.resolve("binary"), request()), "UTF-8");
  }

  private double[][] layers(String text) throws IOException {
    Path file = Files.writeString(folder.resolve("rows.csv"), text);
    return TableImport.read(file, full(Unit.MS, 1, false)).layers();
  }

  @Test
  void rowsAreSortedByAColumnOfLayers() throws IOException {
    for (String name : List.of("layer", "layer_id", "Layer-Index", "LAYERID")) {
      for (String rows :
          List.of(
              "3,3,4,0.5\n1,1,2,0\n2,1,2,0\n",
              "2,3,4,0.5\n0,1,2,0\n1,1,2,0\n",
              "L3,3,4,0.5\nL1,1,2,0\nL2,1,2,0\n")) {
        assertArrayEquals(MS, layers(name + ",k3_e3,k5_e6,skip\n" + rows), name);
      }
    }
    assertArrayEquals(
        MS, layers("k5_e6,layer_id,skip,k3_e3\n4,3,0.5,3\n2,1,0,1\n2,2,0,1\n"), "in between");
    assertEquals(List.of(), notes);
    String header = "layer_id,k3_e3,k5_e6,skip\n";
    Refusals.data(
        () -> layers(header + "1,1,2,0\n1,1,2,0\n3,3,4,1\n"), "line 3", "layer 1", "second time");
    Refusals.data(() -> layers(header + "1,1,2,0\n2,1,2,0\n4,3,4,1\n"), "no layer 3");
    Refusals.data(() -> layers(header + "a,1,2,0\n2,1,2,0\n4,3,4,1\n"), "line 2", "'a'");
  }

  @Test
  void decimalCommasAndByteOrderMarksAreRead() throws IOException {
    double[][] half = {{1.5, 2, 0}, {1.5, 2, 0}, {3, 4.25, 0.5}};
    assertArrayEquals(half, layers("1,5;2,0;0\n1,5;2,0;0\n3;4,25;0,5\n"));
    assertArrayEquals(half, layers("1,5\t2,0\t0,0\n1,5\t2,0\t0,0\n3,0\t4,25\t0,5\n"));
    assertArrayEquals(half, layers("\uFEFFk3_e3;k5_e6;skip\n1,5;2;0\n1,5;2;0\n3;4,25;0,5\n"));
    assertArrayEquals(MS, layers("\uFEFFk3_e3,k5_e6,skip\n1,2,0\n1,2,0\n3,4,.5\n"));
    assertArrayEquals(MS, layers("1, 2, 0\n1, 2, 0\n3, 4, 0.5\n"));
  }
}
