package io.fbnet.engine.plan;

import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.graph.Value;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Set;

/**
 * The operations of a graph in order, cut where it differs from run to run which of them run: at
 * the alternatives of its choices, and at its phases. An operation belongs to an alternative if it
 * reads what that alternative makes, or the flat buffers of a parameter set that it alone reads.
 */
public final class Sections {
  /** The choice of operations that every run carries out. */
  public static final int ALWAYS = -1;

  /**
   * Operations that run together or not at all.
   *
   * @param phase its number, from 0
   * @param choice {@link #ALWAYS}, or a choice's number
   * @param alternative of the choice
   * @param ops in order, at least one
   */
  public record Section(int phase, int choice, int alternative, List<Op> ops) {
    /** Copies the list. */
    public Section {
      ops = List.copyOf(ops);
    }
  }

  private record Gate(int choice, int alternative) {
    static final Gate NONE = new Gate(ALWAYS, 0);
  }

  private final Map<Value, Storage> storage;
  private final List<Section> sections = new ArrayList<>();
  private final List<String> phases = new ArrayList<>(List.of(Op.Phase.FIRST));
  private final Map<Integer, Integer> alternatives = new LinkedHashMap<>();
  private final Map<Value, Value> places = new HashMap<>();
  private final Map<Value, Gate> gates = new HashMap<>();
  private final Map<String, Gate> setGates = new HashMap<>();
  private final Set<Value> kept = new HashSet<>();
  private Gate gate = Gate.NONE;
  private List<Op> current = new ArrayList<>();

  private Sections(Graph graph) {
    storage = graph.storage();
  }

  /**
   * Cuts a graph.
   *
   * @param graph whose values are meant
   * @param ops of it, in an order in which they may run
   * @return the sections
   * @throws IllegalArgumentException where an operation reads what two alternatives make
   */
  public static Sections of(Graph graph, List<Op> ops) {
    Sections result = new Sections(graph);
    ops.forEach(result::add);
    result.close();
    for (Value output : graph.outputs().values()) {
      require(
          result.gates.getOrDefault(output, Gate.NONE).choice() == ALWAYS,
          "%s is an output that only one alternative makes",
          output);
    }
    result.checkChoices();
    return result;
  }

  @com.google.errorprone.annotations.FormatMethod
  private static void require(boolean condition, String message, Object... values) {
    if (!condition) {
      throw new IllegalArgumentException(String.format(Locale.ROOT, message, values));
    }
  }

  private void checkChoices() {
    for (int c = 0; c < alternatives.size(); c++) {
      require(alternatives.containsKey(c), "the choices are numbered from 0, but %d is missing", c);
    }
  }

  private void add(Op op) {
    switch (op) {
      case Op.Phase p -> {
        close();
        require(!phases.contains(p.name()), "two phases are called '%s'", p.name());
        phases.add(p.name());
      }
      case Op.Branch b -> {
        require(gateOf(op).choice() == ALWAYS, "%s branches within an alternative", b.x());
        declare(b.choice(), b.ys().size());
        for (int k = 0; k < b.ys().size(); k++) {
          gates.put(b.ys().get(k), new Gate(b.choice(), k));
          together(b.ys().get(k), b.x());
        }
      }
      case Op.Choose c -> {
        declare(c.choice(), c.xs().size());
        for (int k = 0; k < c.xs().size(); k++) {
          Gate made = gates.getOrDefault(c.xs().get(k), Gate.NONE);
          require(
              made.equals(new Gate(c.choice(), k)),
              "%s is not made by alternative %d of choice %d alone",
              c.xs().get(k),
              k,
              c.choice());
          together(c.xs().get(k), c.y());
        }
      }
      default -> {
        Gate of = gateOf(op);
        if (!of.equals(gate)) {
          close();
          gate = of;
        }
        current.add(op);
        op.outputs().forEach(v -> gates.put(v, of));
      }
    }
  }

  private void declare(int choice, int count) {
    require(choice >= 0, "choices are numbered from 0, not from %d", choice);
    Integer known = alternatives.putIfAbsent(choice, count);
    require(
        known == null || known == count,
        "choice %d has %s alternatives and %d",
        choice,
        known,
        count);
  }

  private void together(Value value, Value place) {
    places.put(value, place);
    kept.add(value);
    kept.add(place);
  }

  private Gate gateOf(Op op) {
    Gate of = Gate.NONE;
    for (Value input : op.inputs()) {
      Gate other =
          storage.get(input) instanceof Storage.Flat flat
              ? setGates.getOrDefault(flat.set(), Gate.NONE)
              : gates.getOrDefault(input, Gate.NONE);
      require(
          of.choice() == ALWAYS || other.choice() == ALWAYS || of.equals(other),
          "%s reads what two alternatives make",
          op.name());
      of = other.choice() == ALWAYS ? of : other;
    }
    for (Value input : op.inputs()) {
      if (storage.get(input) instanceof Storage.Parameter p) {
        Gate by = of;
        // A set that several read, or the outline of the network, is nobody's own.
        setGates.merge(p.set(), by, (a, b) -> Objects.equals(a, b) ? a : Gate.NONE);
      }
    }
    return of;
  }

  private void close() {
    if (!current.isEmpty()) {
      sections.add(new Section(phases.size() - 1, gate.choice(), gate.alternative(), current));
      current = new ArrayList<>();
    }
  }

  /** {@return the sections in order} */
  public List<Section> sections() {
    return List.copyOf(sections);
  }

  /** {@return names of the phases, in order; the first is {@link Op.Phase#FIRST}} */
  public List<String> phases() {
    return List.copyOf(phases);
  }

  /** {@return how many alternatives each choice has} */
  public int[] alternatives() {
    int[] counts = new int[alternatives.size()];
    alternatives.forEach((choice, count) -> counts[choice] = count);
    return counts;
  }

  /**
   * {@return the value in whose place another lies: itself, unless they branch or are chosen}
   *
   * @param value of the graph
   */
  public Value place(Value value) {
    Value at = value;
    for (Value next = places.get(at); next != null; next = places.get(at)) {
      at = next;
    }
    return at;
  }

  /** {@return values that other names stand for, or that stand for others; they lie in memory} */
  public Set<Value> kept() {
    return Set.copyOf(kept);
  }

  /**
   * {@return the choice of which only one alternative makes a value, or {@link #ALWAYS}}
   *
   * @param value of the graph
   */
  public int choiceOf(Value value) {
    return gates.getOrDefault(value, Gate.NONE).choice();
  }

  /**
   * {@return the alternative that makes a value}
   *
   * @param value with a choice
   */
  public int alternativeOf(Value value) {
    return gates.getOrDefault(value, Gate.NONE).alternative();
  }
}
