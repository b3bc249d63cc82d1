package io.fbnet.foreign;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.InputStream;
import java.lang.classfile.ClassFile;
import java.lang.classfile.ClassModel;
import java.lang.classfile.instruction.ConstantInstruction;
import java.lang.classfile.instruction.FieldInstruction;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodType;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.TreeSet;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** What the bindings assume about oneDNN, against the headers of the version on the class path. */
class DnnlBindingTest {
  private static DnnlHeaders headers;

  @BeforeAll
  static void readHeaders() throws IOException {
    headers = new DnnlHeaders();
  }

  /** Which symbol each field of {@link DnnlRaw} is bound to, as its initialiser says. */
  private static Map<String, String> symbolsByField() throws IOException {
    Map<String, String> symbols = new TreeMap<>();
    try (InputStream in = DnnlRaw.class.getResourceAsStream("DnnlRaw.class")) {
      ClassModel model = ClassFile.of().parse(in.readAllBytes());
      String[] last = {null};
      model.methods().stream()
          .filter(m -> m.methodName().equalsString("<clinit>"))
          .flatMap(m -> m.code().stream())
          .flatMap(code -> code.elementStream())
          .forEach(
              element -> {
                if (element instanceof ConstantInstruction c
                    && c.constantValue() instanceof String s) {
                  last[0] = s;
                } else if (element instanceof FieldInstruction f
                    && f.opcode() == java.lang.classfile.Opcode.PUTSTATIC
                    && f.typeSymbol().descriptorString().endsWith("MethodHandle;")) {
                  symbols.put(f.name().stringValue(), last[0]);
                }
              });
    }
    return symbols;
  }

  @Test
  void everySymbolBoundIsLookedForBeforehand() throws IOException {
    Map<String, String> bound = symbolsByField();
    assertTrue(bound.size() >= 30, bound.toString());
    assertEquals(new TreeSet<>(DnnlSymbols.NAMES), new TreeSet<>(bound.values()));
  }

  @Test
  void anAbsentSymbolIsNamed() {
    List<String> missing =
        DnnlSymbols.missing(
            name ->
                name.equals("dnnl_stream_wait")
                    ? Optional.empty()
                    : Optional.of(MemorySegment.NULL));
    assertEquals(List.of("dnnl_stream_wait"), missing);
  }

  @Test
  void signaturesAreThoseOfTheHeaders() throws Exception {
    assumeTrue(Dnnl.availability().found(), () -> "oneDNN: " + Dnnl.availability().tried());
    for (Map.Entry<String, String> entry : symbolsByField().entrySet()) {
      String symbol = entry.getValue();
      if (!symbol.startsWith("dnnl_")) {
        continue;
      }
      MethodHandle handle = (MethodHandle) DnnlRaw.class.getDeclaredField(entry.getKey()).get(null);
      MethodType type = handle.type();
      List<String> kinds = new ArrayList<>();
      kinds.add(kind(type.returnType()));
      type.parameterList().forEach(p -> kinds.add(kind(p)));
      assertEquals(headers.prototype(symbol), kinds, symbol);
    }
  }

  private static String kind(Class<?> type) {
    return type == MemorySegment.class ? "pointer" : type.getName();
  }

  @Test
  void enumerationsAreThoseOfTheHeaders() {
    assertEquals(headers.constant("dnnl_cpu"), Dnnl.CPU);
    assertEquals(headers.constant("dnnl_stream_in_order"), Dnnl.IN_ORDER);
    assertEquals(headers.constant("dnnl_forward_training"), Dnnl.FORWARD_TRAINING);
    assertEquals(headers.constant("dnnl_convolution_direct"), Dnnl.CONVOLUTION_DIRECT);
    for (Dnnl.Type type : Dnnl.Type.values()) {
      String name = "dnnl_" + type.name().toLowerCase(Locale.ROOT);
      assertEquals(headers.constant(name), type.code, name);
    }
    for (Dnnl.Tag tag : Dnnl.Tag.values()) {
      String name =
          switch (tag) {
            case ANY -> "dnnl_format_tag_any";
            case CHANNELS_8 -> "dnnl_nChw8c";
            case CHANNELS_16 -> "dnnl_nChw16c";
            default -> "dnnl_" + tag.name().toLowerCase(Locale.ROOT);
          };
      assertEquals(headers.constant(name), tag.code, name);
    }
  }

  @Test
  void argumentsAndQueriesAreThoseOfTheHeaders() {
    assertEquals(headers.constant("dnnl_query_impl_info_str"), DnnlPrimitive.QUERY_IMPLEMENTATION);
    for (DnnlPrimitive.Argument argument : DnnlPrimitive.Argument.values()) {
      assertEquals(headers.macro("DNNL_ARG_" + argument.name()), argument.code, argument.name());
      String query = "dnnl_query_" + argument.name().toLowerCase(Locale.ROOT) + "_md";
      assertEquals(headers.constant(query), argument.query, query);
    }
  }

  @Test
  void statusNamesAreThoseOfTheHeaders() {
    for (int status = 1; status <= 10; status++) {
      assertEquals(status, headers.constant(Dnnl.statusName(status)));
    }
    assertEquals("unknown status", Dnnl.statusName(99));
  }
}
