package io.fbnet.engine.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * How the depthwise kernels, and that of grouped weights, read memory, counted in the PTX that nvcc
 * made of them: a kernel that waits for one load after the other is right, and several times too
 * slow.
 */
class DepthwiseLoadsTest {
  private static final Pattern FMA = Pattern.compile("fma\\.rn\\.f32");
  private static final Pattern SHARED_LOAD = Pattern.compile("ld\\.shared\\.\\S+");
  private static final Pattern SHARED_PAIR_LOAD = Pattern.compile("ld\\.shared\\.v2\\.u32");
  private static final Pattern PRODUCT = Pattern.compile("mma\\.sync\\.aligned\\.m16n8k16");
  private static final Pattern COPY =
      Pattern.compile("cp\\.async\\.cg\\.shared\\.global .* 16, .*");

  /** Of a pair of channels, which is all of dy that a thread reads at once. */
  private static final Pattern PAIR_LOAD =
      Pattern.compile("ld\\.global(\\.nc)?\\.(u32|b32|v2\\.f32)");

  /** What ends a run of loads: a jump or its target, a barrier, or the wait for copies. */
  private static final Pattern END =
      Pattern.compile("^(@%p\\d+ )?bra.*|^\\$L.*:|^bar\\..*|^cp\\.async\\.wait.*|^ret;");

  static Stream<Arguments> kernels() {
    List<Arguments> all = new ArrayList<>();
    for (int kernel : new int[] {3, 5}) {
      for (int stride : new int[] {1, 2}) {
        for (String type : List.of("f32", "bf16")) {
          all.add(Arguments.of(kernel, stride, type));
        }
      }
    }
    return all.stream();
  }

  /** The instructions of a kernel, without blanks at their ends. */
  private static List<String> instructions(String file, String kernel) throws IOException {
    String ptx;
    try (InputStream in =
        CudaBackend.class.getResourceAsStream("/io/fbnet/kernels/" + file + ".ptx")) {
      assumeTrue(in != null, "the kernels were built without nvcc");
      ptx = new String(in.readAllBytes(), StandardCharsets.US_ASCII);
    }
    int from = ptx.indexOf(".entry " + kernel + "(");
    assertTrue(from >= 0, "no kernel " + kernel);
    int to = ptx.indexOf(".entry ", from + 1);
    return ptx.substring(from, to < 0 ? ptx.length() : to).lines().map(String::strip).toList();
  }

  /** Pieces of a kernel that run from their first to their last instruction without a wait. */
  private static List<List<String>> pieces(List<String> instructions) {
    List<List<String>> pieces = new ArrayList<>();
    List<String> piece = new ArrayList<>();
    for (String instruction : instructions) {
      if (END.matcher(instruction).matches()) {
        pieces.add(piece);
        piece = new ArrayList<>();
      } else {
        piece.add(instruction);
      }
    }
    pieces.add(piece);
    return pieces;
  }

  private static long count(List<String> instructions, Pattern pattern) {
    return instructions.stream().filter(i -> pattern.matcher(i).find()).count();
  }

  private static String name(int kernel, int stride, String what, String type) {
    return "depthwise_k%ds%d_%s_%s".formatted(kernel, stride, what, type);
  }

  /** The piece with the most multiply-adds, or products. */
  private static List<String> arithmetic(List<String> instructions, Pattern what) {
    List<String> most = null;
    for (List<String> piece : pieces(instructions)) {
      if (most == null || count(piece, what) > count(most, what)) {
        most = piece;
      }
    }
    assertNotNull(most);
    return most;
  }

  /**
   * Each input is read once.
   *
   * @param early loads of what comes behind the arithmetic that may be done before it
   */
  private static void inputsServeAllTaps(
      List<String> instructions, int inputs, int early, int outputs, int taps, String name) {
    List<String> piece = arithmetic(instructions, FMA);
    // Two channels a thread.
    assertEquals(2L * outputs * taps, count(piece, FMA), "multiply-adds of a patch, " + name);
    long loads = count(piece, SHARED_LOAD);
    assertTrue(loads >= inputs && loads <= inputs + early, loads + " loads from the tile, " + name);
    assertEquals(0, count(piece, Pattern.compile("ld\\.global")), "global loads, " + name);
  }

  /** Tiles are filled 16 bytes at a time, four copies a pass, and one wait follows them all. */
  private static void copiesWaitForNothing(List<String> instructions, String name) {
    copiesWaitForNothing(instructions, 1, name);
  }

  private static void copiesWaitForNothing(List<String> instructions, int all, String name) {
    long most = 0;
    long waits = 0;
    long copies = 0;
    for (String instruction : instructions) {
      if (COPY.matcher(instruction).find()) {
        copies++;
      } else if (instruction.startsWith("cp.async.wait") || instruction.contains("bar.sync")) {
        most = Math.max(most, copies);
        copies = 0;
        waits += instruction.startsWith("cp.async.wait") ? 1 : 0;
      }
    }
    assertTrue(most >= 4, "only " + most + " copies before a wait, " + name);
    assertEquals(all, waits, "waits for copies, " + name);
  }

  @ParameterizedTest
  @MethodSource("kernels")
  void forward(int kernel, int stride, String type) throws IOException {
    forward(kernel, stride, "forward", type);
    forward(kernel, stride, "forward_statistics", type);
  }

  private static void forward(int kernel, int stride, String what, String type) throws IOException {
    String name = name(kernel, stride, what, type);
    List<String> instructions = instructions("depthwise", name);
    copiesWaitForNothing(instructions, name);
    int rows = stride == 1 ? 4 : 2;
    int inputs = ((rows - 1) * stride + kernel) * (3 * stride + kernel);
    inputsServeAllTaps(instructions, inputs, 0, 4 * rows, kernel * kernel, name);
  }

  @ParameterizedTest
  @MethodSource("kernels")
  void backwardData(int kernel, int stride, String type) throws IOException {
    gradientOfImages(kernel, stride, 0, name(kernel, stride, "backward_data", type));
  }

  /** The sums come on top: nothing of them is between the loads and multiply-adds of a patch. */
  @ParameterizedTest
  @MethodSource("kernels")
  void backwardDataWithSums(int kernel, int stride, String type) throws IOException {
    String name = name(kernel, stride, "backward_data_sums", type);
    gradientOfImages(kernel, stride, 1, name);
    if (stride == 2) {
      List<String> instructions = instructions("depthwise", name);
      long most =
          pieces(instructions).stream().mapToLong(piece -> count(piece, PAIR_LOAD)).max().orElse(0);
      assertEquals(8, most, "loads of what the norm read before the first is waited for, " + name);
    }
  }

  private static void gradientOfImages(int kernel, int stride, int early, String name)
      throws IOException {
    List<String> instructions = instructions("depthwise", name);
    copiesWaitForNothing(instructions, name);
    if (stride == 1) {
      int inputs = (3 + kernel) * (3 + kernel);
      inputsServeAllTaps(instructions, inputs, early, 16, kernel * kernel, name);
    } else {
      // A 2x4 patch: each two by two pixels meet each tap once.
      int low = kernel / 2 / 2;
      List<String> piece = arithmetic(instructions, FMA);
      assertEquals(2L * 2 * kernel * kernel, count(piece, FMA), name);
      assertEquals((2L + low) * (3 + low), count(piece, SHARED_LOAD), name);
    }
  }

  @ParameterizedTest
  @MethodSource("kernels")
  void backwardWeights(int kernel, int stride, String type) throws IOException {
    String name = name(kernel, stride, "backward_weights", type);
    List<String> instructions = instructions("depthwise_weights", name);
    copiesWaitForNothing(instructions, name);
    int rows = stride == 1 ? 4 : 2;
    int inputs = ((rows - 1) * stride + kernel) * (3 * stride + kernel);
    inputsServeAllTaps(instructions, inputs, 0, 4 * rows, kernel * kernel, name);
    long most = 0;
    for (List<String> piece : pieces(instructions)) {
      List<String> loading = piece;
      for (int i = 0; i < piece.size(); i++) {
        if (FMA.matcher(piece.get(i)).find() || SHARED_LOAD.matcher(piece.get(i)).find()) {
          loading = piece.subList(0, i);
          break;
        }
      }
      most = Math.max(most, count(loading, PAIR_LOAD));
    }
    assertEquals(4L * rows, most, "loads of dy before the first of them is waited for, " + name);
  }

  /** Of four channels: each row of inputs is read once and serves all rows of taps. */
  @ParameterizedTest
  @CsvSource({
    "3, forward", "3, forward_statistics", "3, backward_data", "3, backward_data_sums",
    "5, forward", "5, forward_statistics", "5, backward_data", "5, backward_data_sums"
  })
  void products(int kernel, String what) throws IOException {
    String name = "depthwise_products_k%d_%s".formatted(kernel, what);
    List<String> instructions = instructions("depthwise_products", name);
    copiesWaitForNothing(instructions, name);
    List<String> piece = arithmetic(instructions, PRODUCT);
    assertEquals(4L * 2 * kernel, count(piece, PRODUCT), "products, " + name);
    assertEquals(4L * (4 + kernel - 1), count(piece, SHARED_PAIR_LOAD), "loads, " + name);
    assertEquals(0, count(piece, Pattern.compile("ld\\.global")), "global loads, " + name);
    if (what.equals("backward_data_sums")) {
      // Each in a branch of its own, which a warp seldom parts in, and none of them waited for.
      long most = 0;
      long loads = 0;
      for (String instruction : instructions) {
        if (instruction.matches("ld\\.global(\\.nc)?\\.v4\\.u32.*")) {
          most = Math.max(most, ++loads);
        } else if (instruction.contains("bar.sync")) {
          loads = 0;
        }
      }
      assertEquals(8, most, "loads of what the norm read before a barrier, " + name);
    }
  }

  /**
   * Of two groups of halves: each row is read once and serves all rows of taps. What is multiplied
   * with it comes beside it, or normalised in a piece of its own.
   */
  @ParameterizedTest
  @CsvSource({
    "depthwise_weight_products, 3, 4", "depthwise_weight_products, 5, 4",
    "depthwise_gradient, 3, 0", "depthwise_gradient, 5, 0"
  })
  void weightProducts(String file, int kernel, int beside) throws IOException {
    String name = file + "_k" + kernel;
    List<String> instructions = instructions(file, name);
    // One wait where there are whole vectors, one where there are not.
    copiesWaitForNothing(instructions, 2, name);
    Pattern pairs = Pattern.compile("ld\\.shared\\.v4");
    List<String> piece = arithmetic(instructions, pairs);
    assertEquals(8L * (kernel + 1) / 2, count(piece, PRODUCT), "products, " + name);
    assertEquals(2L * (kernel + 3) + beside, count(piece, pairs), "loads, " + name);
    assertEquals(0, count(piece, Pattern.compile("ld\\.global")), "global loads, " + name);
  }

  @Test
  void groupedWeights() throws IOException {
    List<String> instructions = instructions("grouped_weights", "grouped_weights");
    List<String> piece = arithmetic(instructions, Pattern.compile("ld\\.global\\.cg\\.f32"));
    assertEquals(32, count(piece, Pattern.compile("ld\\.global\\.cg\\.f32")), "parts at once");
    long most = 0;
    long copies = 0;
    for (String instruction : instructions) {
      if (COPY.matcher(instruction).find()) {
        most = Math.max(most, ++copies);
      } else if (instruction.startsWith("cp.async.wait") || instruction.contains("bar.sync")) {
        copies = 0;
      }
    }
    assertTrue(most >= 8, "only " + most + " copies before a wait");
  }
}
