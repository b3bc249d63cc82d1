package io.fbnet.nas.latency;

import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.errorprone.annotations.CanIgnoreReturnValue;
import io.fbnet.nas.UserException;
import io.fbnet.nas.file.AtomicFile;
import io.fbnet.nas.file.Document;
import io.fbnet.nas.file.JsonText;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.BlockType;
import io.fbnet.nas.space.SearchSpace;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.function.Consumer;

/**
 * The run time of every candidate block of every layer on one device, in milliseconds: {@code
 * LAT(a) = fixed + sum_l layers[l][choice[l]]}. Immutable. The sum assumes that a block's time does
 * not depend on its neighbours; {@link #validated} says how far that was checked.
 *
 * <p>An absolute table's entries are times of their own and {@code fixed} is stem, head, pooling
 * and classifier. A relative table's entries are differences to the skip block of the same layer,
 * some slightly negative, and {@code fixed} holds the rest: its sums are as good, its parts are not
 * times.
 */
public final class LatencyTable {
  /** A day: beyond it, something other than milliseconds was written. */
  static final double LONGEST_MS = 86_400_000;

  static final double LARGEST_SPREAD = 1e9;
  static final double SHORTEST_YARDSTICK_MS = 1e-9;

  private final String source;
  private final String device;
  private final SpaceKey space;
  private final double fixed;
  private final double[][] layers;
  private final OptionalDouble fixedSpread;
  private final OptionalDouble yardstick;
  private final double[][] spread;
  private final boolean relative;
  private final String validated;
  private final String origin;
  private final Fingerprint fingerprint;

  private LatencyTable(Builder b) {
    source = b.source;
    device = b.device;
    space = b.space;
    fixed = b.fixed;
    layers = copy(b.layers);
    fixedSpread = b.fixedSpread;
    yardstick = b.yardstick;
    spread = b.spread == null ? null : copy(b.spread);
    relative = b.relative;
    validated = b.validated;
    origin = b.origin;
    fingerprint = b.fingerprint;
    check();
  }

  private void check() {
    if (device.isBlank()) {
      throw new IllegalArgumentException("a table needs a device name");
    }
    requireShape("layers", layers);
    if (spread != null) {
      requireShape("spread", spread);
    }
    double sum = requireTime(fixed, "fixed");
    if (!relative && fixed < 0) {
      throw new IllegalArgumentException("fixed is negative in an absolute table");
    }
    for (int l = 0; l < layers.length; l++) {
      for (int k = 0; k < layers[l].length; k++) {
        String what = "layers[" + l + "][" + k + "]";
        double ms = requireTime(layers[l][k], what);
        if (!relative && ms < 0) {
          throw new IllegalArgumentException(what + " is negative in an absolute table");
        }
        if (spread != null) {
          requireShare(spread[l][k], "spread[" + l + "][" + k + "]");
        }
      }
      sum += Arrays.stream(layers[l]).min().orElseThrow();
    }
    if (fixedSpread.isPresent()) {
      requireShare(fixedSpread.getAsDouble(), "fixed_spread");
    }
    if (yardstick.isPresent()
        && !(yardstick.getAsDouble() >= SHORTEST_YARDSTICK_MS
            && yardstick.getAsDouble() <= LONGEST_MS)) {
      throw new IllegalArgumentException("the yardstick took " + yardstick.getAsDouble() + " ms");
    }
    // Zero is possible: one published table (fpga) takes skip, and all that is fixed, to be free.
    if (!(sum >= 0)) {
      throw new IllegalArgumentException("the fastest network would take " + sum + " ms");
    }
  }

  private void requireShape(String what, double[][] rows) {
    if (rows == null || rows.length != space.widths().size() || rows.length == 0) {
      throw new IllegalArgumentException(
          what + " needs one row for each of the " + space.widths().size() + " layers");
    }
    for (double[] row : rows) {
      if (row.length != space.blocks().size()) {
        throw new IllegalArgumentException(
            what + " needs one number for each of the " + space.blocks().size() + " blocks");
      }
    }
  }

  private static double requireTime(double value, String what) {
    if (!(Math.abs(value) <= LONGEST_MS)) {
      throw new IllegalArgumentException(
          what + " is " + value + " ms, but a day has " + LONGEST_MS);
    }
    return value;
  }

  private static void requireShare(double value, String what) {
    if (!(value >= 0 && value <= LARGEST_SPREAD)) {
      throw new IllegalArgumentException(
          what + " is " + value + ", no share from 0 to " + LARGEST_SPREAD);
    }
  }

  private static double[][] copy(double[][] rows) {
    return rows == null ? null : Arrays.stream(rows).map(double[]::clone).toArray(double[][]::new);
  }

  /**
   * {@return a table for a device and a space, with everything else to be filled in}
   *
   * @param device the device's name
   * @param space the space whose layers and candidates are the table's rows and columns
   */
  public static Builder builder(String device, SearchSpace space) {
    return builder(device, SpaceKey.of(space));
  }

  /**
   * {@return a table for a device and what is known of a space, with the rest to be filled in}
   *
   * @param device the device's name
   * @param space what the table is measured for
   */
  public static Builder builder(String device, SpaceKey space) {
    return new Builder(device, space);
  }

  /**
   * {@return the table that comes with the program under this name, or the one in the JSON file at
   * this path}
   *
   * @param nameOrPath one of {@link #builtIns}, or a file
   * @throws UserException (exit code 3) if there is neither, or the file is wrong
   */
  public static LatencyTable load(String nameOrPath) {
    return LatencyFile.load(nameOrPath);
  }

  /**
   * {@return a table of what {@link #json} gave}
   *
   * @param json the text of it
   * @param source what it is called in messages
   * @throws UserException (exit code 3) if it is wrong
   */
  public static LatencyTable parse(String json, String source) {
    return LatencyFile.parse(Document.json(source, json), source);
  }

  /** {@return the names of the tables that come with the program} */
  public static List<String> builtIns() {
    return LatencyFile.builtIns();
  }

  /**
   * Writes the JSON file, whole or not at all.
   *
   * @param target the file, replaced where it exists; missing folders are made
   * @throws UserException (exit code 5) if it cannot be written
   */
  public void write(Path target) {
    AtomicFile.writeText(target, JsonText.of(LatencyFile.tree(this)));
  }

  /** {@return the device's name} */
  public String device() {
    return device;
  }

  /** {@return what the table was measured for} */
  public SpaceKey space() {
    return space;
  }

  /** {@return what every architecture pays, in ms} */
  public double fixed() {
    return fixed;
  }

  /** {@return a copy of the entries in ms, [layer][block]} */
  public double[][] layers() {
    return copy(layers);
  }

  /**
   * {@return an entry in ms}
   *
   * @param l the layer, from 0
   * @param k the block's index among the candidates
   */
  public double ms(int l, int k) {
    return layers[l][k];
  }

  /** {@return spread of the measurements of {@code fixed}, as a share of it, if it is known} */
  public OptionalDouble fixedSpread() {
    return fixedSpread;
  }

  /**
   * {@return ms of the yardstick, a network that was timed beside every entry, if it is known}
   * Timed again elsewhen, it tells how much faster or slower the machine has become.
   */
  public OptionalDouble yardstick() {
    return yardstick;
  }

  /**
   * {@return a copy of the spreads, [layer][block], each a share of its entry, if they are known}
   */
  public Optional<double[][]> spread() {
    return Optional.ofNullable(copy(spread));
  }

  /** {@return whether the entries are differences to the skip block of their layer} */
  public boolean relative() {
    return relative;
  }

  /** {@return how well the table's sums were found to predict whole networks, in words} */
  public String validated() {
    return validated;
  }

  /** {@return where the numbers come from, in words; may be empty} */
  public String origin() {
    return origin;
  }

  /** {@return under what conditions it was measured} */
  public Fingerprint fingerprint() {
    return fingerprint;
  }

  /**
   * {@return latency in ms of one candidate a layer}
   *
   * @param choice an index of a candidate for each layer
   * @throws IllegalArgumentException if it is not as long as the table
   */
  public double latencyOf(int[] choice) {
    if (choice.length != layers.length) {
      throw new IllegalArgumentException(
          "the table has " + layers.length + " layers, the choice " + choice.length);
    }
    double sum = fixed;
    for (int l = 0; l < choice.length; l++) {
      sum += layers[l][choice[l]];
    }
    return sum;
  }

  /**
   * {@return latency in ms of an architecture}
   *
   * @param architecture of a space that the table fits
   * @throws UserException (exit code 3) if the table does not fit its space
   */
  public double latencyOf(Architecture architecture) {
    requireFits(architecture.space(), warning -> {});
    return latencyOf(architecture.choice());
  }

  /** {@return for every layer the index of its fastest block, whatever the space allows there} */
  public int[] fastest() {
    int[] choice = new int[layers.length];
    for (int l = 0; l < choice.length; l++) {
      for (int k = 1; k < layers[l].length; k++) {
        if (layers[l][k] < layers[l][choice[l]]) {
          choice[l] = k;
        }
      }
    }
    return choice;
  }

  /**
   * {@return expected latency in ms of a mixture: fixed + sum over l and k of m[l][k] *
   * layers[l][k]}
   *
   * @param m weights [layer][block], each row summing to 1
   * @throws IllegalArgumentException if it has another number of rows than the table
   */
  public double expected(double[][] m) {
    if (m.length != layers.length) {
      throw new IllegalArgumentException(
          "the table has " + layers.length + " layers, the mixture " + m.length);
    }
    double sum = fixed;
    for (int l = 0; l < m.length; l++) {
      for (int k = 0; k < layers[l].length; k++) {
        sum += m[l][k] * layers[l][k];
      }
    }
    return sum;
  }

  /**
   * Refuses a space whose input, stem, widths, strides or blocks are not the table's; a difference
   * that changes the fixed share alone is worth a warning.
   *
   * @param other the space
   * @param warnings told each such difference in a sentence
   * @throws UserException (exit code 3) if the table does not fit
   */
  public void requireFits(SearchSpace other, Consumer<String> warnings) {
    Fit.require(source, space, SpaceKey.of(other), warnings);
  }

  /**
   * {@return whether {@link #requireFits} accepts a space}
   *
   * @param other the space
   */
  public boolean fits(SearchSpace other) {
    try {
      requireFits(other, warning -> {});
      return true;
    } catch (UserException difference) {
      return false;
    }
  }

  /**
   * Tells every way in which the table's conditions differ from others, where both are known.
   *
   * @param here the conditions to compare with
   * @param warnings told each difference in a sentence
   */
  public void warnOfDifferences(Fingerprint here, Consumer<String> warnings) {
    Fit.warn(source, fingerprint, here, warnings);
  }

  /** {@return what complaints call this table: its file, its built-in name, or its device} */
  public String source() {
    return source;
  }

  /** A copy of this table with another note on how well it predicts. */
  LatencyTable withValidated(String note) {
    return toBuilder().validated(note).build();
  }

  /**
   * {@return a copy of this table that calls its device otherwise}
   *
   * @param name the device's name
   * @throws IllegalArgumentException if it is blank
   */
  public LatencyTable withDevice(String name) {
    return toBuilder(name).build();
  }

  /** A builder that holds everything this table does. */
  Builder toBuilder() {
    return toBuilder(device);
  }

  private Builder toBuilder(String device) {
    Builder b = new Builder(device, space);
    b.source = source;
    b.fixed = fixed;
    b.layers = layers;
    b.fixedSpread = fixedSpread;
    b.yardstick = yardstick;
    b.spread = spread;
    b.relative = relative;
    b.validated = validated;
    b.origin = origin;
    b.fingerprint = fingerprint;
    return b;
  }

  /** {@return the table for people: conditions, entries, and the fastest network} */
  public String text() {
    return LatencyText.of(this);
  }

  /** {@return the JSON tree that {@link #write} writes} */
  public ObjectNode json() {
    return LatencyFile.tree(this);
  }

  /** Whether column {@code k} is the one that a relative table's other columns are relative to. */
  boolean isReference(int k) {
    return relative && space.blocks().get(k).equals(BlockType.SKIP.name());
  }

  /** Fills in a table; {@link #build} checks it. */
  public static final class Builder {
    private final String device;
    private final SpaceKey space;
    private String source;
    private double fixed;
    private double[][] layers;
    private OptionalDouble fixedSpread = OptionalDouble.empty();
    private OptionalDouble yardstick = OptionalDouble.empty();
    private double[][] spread;
    private boolean relative;
    private String validated = "not validated on whole networks";
    private String origin = "";
    private Fingerprint fingerprint = Fingerprint.of("", 0, Map.of(), "", 1, "");

    Builder(String device, SpaceKey space) {
      this.device = device;
      this.space = space;
      this.source = "the latency table of " + device;
    }

    /** What complaints call the table. */
    @CanIgnoreReturnValue
    Builder source(String name) {
      source = name;
      return this;
    }

    /**
     * Sets what every architecture pays; 0 unless set.
     *
     * @param ms milliseconds
     * @return this
     */
    @CanIgnoreReturnValue
    public Builder fixed(double ms) {
      fixed = ms;
      return this;
    }

    /**
     * Sets the entries, which must be set.
     *
     * @param ms milliseconds [layer][block]; copied by {@link #build}
     * @return this
     */
    @CanIgnoreReturnValue
    public Builder layers(double[][] ms) {
      layers = ms;
      return this;
    }

    /**
     * Sets the spread of the measurements of fixed; unknown unless set.
     *
     * @param share of fixed
     * @return this
     */
    @CanIgnoreReturnValue
    public Builder fixedSpread(double share) {
      fixedSpread = OptionalDouble.of(share);
      return this;
    }

    /**
     * Sets what the yardstick took meanwhile; unknown unless set.
     *
     * @param ms milliseconds
     * @return this
     */
    @CanIgnoreReturnValue
    public Builder yardstick(double ms) {
      yardstick = OptionalDouble.of(ms);
      return this;
    }

    /**
     * Sets the spreads of the entries; unknown unless set.
     *
     * @param shares [layer][block], each of its entry; copied by {@link #build}
     * @return this
     */
    @CanIgnoreReturnValue
    public Builder spread(double[][] shares) {
      spread = shares;
      return this;
    }

    /**
     * Sets whether the entries are differences to skip; false unless set.
     *
     * @param value true: they are, and fixed holds the rest
     * @return this
     */
    @CanIgnoreReturnValue
    public Builder relative(boolean value) {
      relative = value;
      return this;
    }

    /**
     * Sets how well the sums predict whole networks; "not validated on whole networks" unless set.
     *
     * @param note in words
     * @return this
     */
    @CanIgnoreReturnValue
    public Builder validated(String note) {
      validated = note;
      return this;
    }

    /**
     * Sets where the numbers come from; empty unless set.
     *
     * @param words in words
     * @return this
     */
    @CanIgnoreReturnValue
    public Builder origin(String words) {
      origin = words;
      return this;
    }

    /**
     * Sets under what conditions it was measured; unknown ones at batch 1 unless set.
     *
     * @param conditions the conditions
     * @return this
     */
    @CanIgnoreReturnValue
    public Builder fingerprint(Fingerprint conditions) {
      fingerprint = conditions;
      return this;
    }

    /**
     * {@return the table}
     *
     * @throws IllegalArgumentException with a sentence to show, if what was set makes none
     */
    public LatencyTable build() {
      return new LatencyTable(this);
    }
  }
}
