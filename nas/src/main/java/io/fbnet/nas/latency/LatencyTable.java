package io.fbnet.nas.latency;

import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.errorprone.annotations.CanIgnoreReturnValue;
import io.fbnet.nas.UserException;
import io.fbnet.nas.file.AtomicFile;
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
  private final String source;
  private final String device;
  private final SpaceKey space;
  private final double fixed;
  private final double[][] layers;
  private final OptionalDouble fixedSpread;
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
    double sum = requireFinite(fixed, "fixed");
    if (!relative && fixed < 0) {
      throw new IllegalArgumentException("fixed is negative in an absolute table");
    }
    for (int l = 0; l < layers.length; l++) {
      for (int k = 0; k < layers[l].length; k++) {
        String what = "layers[" + l + "][" + k + "]";
        double ms = requireFinite(layers[l][k], what);
        if (!relative && ms < 0) {
          throw new IllegalArgumentException(what + " is negative in an absolute table");
        }
        if (spread != null && !(spread[l][k] >= 0 && Double.isFinite(spread[l][k]))) {
          throw new IllegalArgumentException("spread[" + l + "][" + k + "] is no share from 0 up");
        }
      }
      sum += Arrays.stream(layers[l]).min().orElseThrow();
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

  private static double requireFinite(double value, String what) {
    if (!Double.isFinite(value)) {
      throw new IllegalArgumentException(what + " is not a finite number");
    }
    return value;
  }

  private static double[][] copy(double[][] rows) {
    return rows == null ? null : Arrays.stream(rows).map(double[]::clone).toArray(double[][]::new);
  }

  /** A table for this device and space, with everything else to be filled in. */
  public static Builder builder(String device, SearchSpace space) {
    return builder(device, SpaceKey.of(space));
  }

  /** A table for this device and what is known of its space, with the rest to be filled in. */
  public static Builder builder(String device, SpaceKey space) {
    return new Builder(device, space);
  }

  /**
   * The table that comes with the program under this name, or the one in the JSON file at this
   * path.
   *
   * @throws UserException (exit code 3) if there is neither, or the file is wrong
   */
  public static LatencyTable load(String nameOrPath) {
    return LatencyFile.load(nameOrPath);
  }

  /** The names of the tables that come with the program. */
  public static List<String> builtIns() {
    return LatencyFile.builtIns();
  }

  /** Writes the JSON file, whole or not at all; a failure is a storage error (exit code 5). */
  public void write(Path target) {
    AtomicFile.writeText(target, JsonText.of(LatencyFile.tree(this)));
  }

  /** The device's name. */
  public String device() {
    return device;
  }

  /** What the table was measured for. */
  public SpaceKey space() {
    return space;
  }

  /** What every architecture pays, in ms. */
  public double fixed() {
    return fixed;
  }

  /** A copy of the entries in ms, [layer][block]. */
  public double[][] layers() {
    return copy(layers);
  }

  /** The entry of layer {@code l} and block {@code k} in ms. */
  public double ms(int l, int k) {
    return layers[l][k];
  }

  /** Spread of the measurements of {@code fixed}, as a share of it. */
  public OptionalDouble fixedSpread() {
    return fixedSpread;
  }

  /** A copy of the spreads, [layer][block], each a share of its entry. */
  public Optional<double[][]> spread() {
    return Optional.ofNullable(copy(spread));
  }

  /** Whether the entries are differences to the skip block of their layer. */
  public boolean relative() {
    return relative;
  }

  /** How well the table's sums were found to predict whole networks, in words. */
  public String validated() {
    return validated;
  }

  /** Where the numbers come from, in words; may be empty. */
  public String origin() {
    return origin;
  }

  /** Under what conditions it was measured. */
  public Fingerprint fingerprint() {
    return fingerprint;
  }

  /** Latency in ms of one candidate index a layer. */
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
   * Latency in ms of an architecture.
   *
   * @throws UserException (exit code 3) if the table does not fit its space
   */
  public double latencyOf(Architecture architecture) {
    requireFits(architecture.space(), warning -> {});
    return latencyOf(architecture.choice());
  }

  /** For every layer the index of its fastest block. */
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
   * Expected latency in ms of a mixture: fixed + sum over l and k of m[l][k] * layers[l][k].
   *
   * @param m weights [layer][block], each row summing to 1
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
   * that changes the fixed share alone is told to {@code warnings} in one sentence each.
   *
   * @throws UserException (exit code 3) if the table does not fit
   */
  public void requireFits(SearchSpace other, Consumer<String> warnings) {
    Fit.require(source, space, SpaceKey.of(other), warnings);
  }

  /** Whether {@link #requireFits} accepts a space. */
  public boolean fits(SearchSpace other) {
    try {
      requireFits(other, warning -> {});
      return true;
    } catch (UserException difference) {
      return false;
    }
  }

  /** Tells {@code warnings} every way in which the table's conditions differ from these. */
  public void warnOfDifferences(Fingerprint here, Consumer<String> warnings) {
    Fit.warn(source, fingerprint, here, warnings);
  }

  /** What complaints call this table: its file, or its device. */
  public String source() {
    return source;
  }

  /** A copy of this table with another note on how well it predicts. */
  public LatencyTable withValidated(String note) {
    return toBuilder().validated(note).build();
  }

  /** A copy of this table that calls its device otherwise. */
  public LatencyTable withDevice(String name) {
    return toBuilder(name).build();
  }

  /** A builder that holds everything this table does. */
  public Builder toBuilder() {
    return toBuilder(device);
  }

  private Builder toBuilder(String device) {
    Builder b = new Builder(device, space);
    b.source = source;
    b.fixed = fixed;
    b.layers = layers;
    b.fixedSpread = fixedSpread;
    b.spread = spread;
    b.relative = relative;
    b.validated = validated;
    b.origin = origin;
    b.fingerprint = fingerprint;
    return b;
  }

  /** The table for people; see {@link LatencyText}. */
  public String text() {
    return LatencyText.of(this);
  }

  /** The JSON tree that {@link #write} writes. */
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

    /** What every architecture pays, in ms. */
    @CanIgnoreReturnValue
    public Builder fixed(double ms) {
      fixed = ms;
      return this;
    }

    /** The entries in ms, [layer][block]. */
    @CanIgnoreReturnValue
    public Builder layers(double[][] ms) {
      layers = ms;
      return this;
    }

    /** Spread of the measurements of fixed, as a share of it. */
    @CanIgnoreReturnValue
    public Builder fixedSpread(double share) {
      fixedSpread = OptionalDouble.of(share);
      return this;
    }

    /** Spreads [layer][block], each a share of its entry. */
    @CanIgnoreReturnValue
    public Builder spread(double[][] shares) {
      spread = shares;
      return this;
    }

    /** Whether the entries are differences to skip; false unless said. */
    @CanIgnoreReturnValue
    public Builder relative(boolean value) {
      relative = value;
      return this;
    }

    /** How well the sums predict whole networks, in words. */
    @CanIgnoreReturnValue
    public Builder validated(String note) {
      validated = note;
      return this;
    }

    /** Where the numbers come from, in words. */
    @CanIgnoreReturnValue
    public Builder origin(String words) {
      origin = words;
      return this;
    }

    /** Under what conditions it was measured. */
    @CanIgnoreReturnValue
    public Builder fingerprint(Fingerprint conditions) {
      fingerprint = conditions;
      return this;
    }

    /** The table; throws IllegalArgumentException with a sentence to show if it is none. */
    public LatencyTable build() {
      return new LatencyTable(this);
    }
  }
}
