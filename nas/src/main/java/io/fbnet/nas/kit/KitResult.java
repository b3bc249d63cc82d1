package io.fbnet.nas.kit;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.nas.UserException;
import io.fbnet.nas.file.AtomicFile;
import io.fbnet.nas.file.Document;
import io.fbnet.nas.file.JsonText;
import io.fbnet.nas.file.Node;
import io.fbnet.nas.latency.Fingerprint;
import io.fbnet.nas.latency.LatencyTable;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.function.Consumer;

/**
 * What timing a kit found: the file {@code result.json}, whoever wrote it.
 *
 * @param device its name, for people
 * @param processor model of the processor
 * @param runtime such as onnxruntime
 * @param version of the run time
 * @param provider the run time's own word for what computes
 * @param threads inside one operation
 * @param date ISO 8601 day
 * @param runner what timed the files
 * @param times by file
 */
public record KitResult(
    String device,
    String processor,
    String runtime,
    String version,
    String provider,
    int threads,
    String date,
    String runner,
    Map<String, Time> times) {
  /** The file's usual name. */
  public static final String NAME = "result.json";

  private static final String KIND = "fbnet-latency-result";
  private static final int FORMAT = 1;
  private static final double LONGEST_MS = 86_400_000;
  private static final int MANY = 1 << 20;
  private static final int NAMED = 5;

  /**
   * The time of one file.
   *
   * @param medianMs median of all runs, ms
   * @param spread distance of the quartiles by the median
   * @param runs how many
   */
  public record Time(double medianMs, double spread, int runs) {}

  /** Copies the map. */
  public KitResult {
    times = Collections.unmodifiableMap(new LinkedHashMap<>(times));
  }

  /** Whether a parsed file says that it is one of these. */
  public static boolean isOne(Node node) {
    return node.isMapping()
        && node.mapping().containsKey("kind")
        && node.mapping().get("kind").scalar().equals(Optional.of(KIND));
  }

  /** A result and the kit it is of. */
  private record OfKit(KitResult result, KitManifest manifest) {}

  /**
   * Reads a result and makes its table.
   *
   * @param kit the kit's folder; null where it is to be found by the result
   * @param warnings told what is odd, in a sentence each
   * @throws UserException (exit code 3) if something is wrong or missing
   */
  public static LatencyTable table(Path file, Path kit, Consumer<String> warnings) {
    OfKit found = read(file, kit);
    String origin = "a latency kit timed by " + found.result().runner();
    try {
      return found.result().table(found.manifest(), origin, warnings);
    } catch (IllegalArgumentException e) {
      throw UserException.data("%s makes no latency table: %s", file, e.getMessage());
    }
  }

  private static OfKit read(Path file, Path kit) {
    Node node = Document.json(file);
    Node.Fields fields =
        node.fields(
            "format",
            "kind",
            "kit",
            "kit_sha256",
            "device",
            "processor",
            "runtime",
            "version",
            "provider",
            "threads",
            "date",
            "runner",
            "times");
    fields.required("format").requireVersion(FORMAT);
    Node kind = fields.required("kind");
    if (!kind.text().equals(KIND)) {
      throw kind.wrong("must be \"" + KIND + "\", but is " + kind.shown());
    }
    Path folder = kit == null ? folder(file, fields.required("kit")) : kit;
    KitManifest manifest = KitManifest.read(folder);
    Node sha256 = fields.required("kit_sha256");
    if (!sha256.text().equals(Hash.of(folder.resolve(KitManifest.NAME)))) {
      throw sha256.wrong(
          String.format(
              Locale.ROOT,
              "is not that of %s: the result is of another kit",
              folder.resolve(KitManifest.NAME)));
    }
    Node list = fields.required("times");
    KitResult result =
        new KitResult(
            fields.required("device").text(),
            fields.required("processor").text(),
            fields.required("runtime").text(),
            fields.required("version").text(),
            fields.required("provider").text(),
            fields.required("threads").integer(1, MANY),
            fields.required("date").text(),
            fields.required("runner").text(),
            times(list, manifest));
    List<String> missing =
        manifest.files().stream()
            .map(KitManifest.Entry::name)
            .filter(name -> !result.times().containsKey(name))
            .toList();
    if (!missing.isEmpty()) {
      throw list.wrong(
          String.format(
              Locale.ROOT,
              "lacks %d of the kit's %d files: %s%s",
              missing.size(),
              manifest.files().size(),
              String.join(", ", missing.subList(0, Math.min(NAMED, missing.size()))),
              missing.size() > NAMED ? ", ..." : ""));
    }
    return new OfKit(result, manifest);
  }

  /** Where the result lies, if a kit does too; else where the result says that the kit lies. */
  private static Path folder(Path file, Node named) {
    Path beside = file.toAbsolutePath().getParent();
    if (Files.isRegularFile(beside.resolve(KitManifest.NAME))) {
      return beside;
    }
    try {
      Path folder = beside.resolve(named.text());
      if (Files.isRegularFile(folder.resolve(KitManifest.NAME))) {
        return folder;
      }
    } catch (InvalidPathException e) {
      throw named.wrong("is no path: " + e.getReason());
    }
    throw named.wrong(
        String.format(
                Locale.ROOT,
                "names a folder without a %s, nor is there one beside the result: name the kit's"
                    + " folder by",
                KitManifest.NAME)
            + " --kit");
  }

  private static Map<String, Time> times(Node list, KitManifest manifest) {
    List<String> known = manifest.files().stream().map(KitManifest.Entry::name).toList();
    Map<String, Time> times = new LinkedHashMap<>();
    for (Node item : list.list(1, MANY)) {
      Node.Fields fields = item.fields("name", "median_ms", "spread", "runs");
      Node name = fields.required("name");
      if (!known.contains(name.text())) {
        throw name.wrong("is no file of the kit, but " + name.shown());
      }
      Node median = fields.required("median_ms");
      double ms = median.number(0, LONGEST_MS);
      if (ms == 0) {
        throw median.wrong("is 0: the device's clock is too coarse");
      }
      Time time =
          new Time(
              ms,
              fields.required("spread").number(0, 1e6),
              fields.required("runs").integer(1, Integer.MAX_VALUE));
      if (times.put(name.text(), time) != null) {
        throw name.wrong("stands a second time");
      }
    }
    return times;
  }

  /**
   * The table of a result. What a call of the run time costs is in every file's time, but once in a
   * network's: it is taken from all but the stem's.
   */
  LatencyTable table(KitManifest manifest, String origin, Consumer<String> warnings) {
    double[][] ms = new double[manifest.space().widths().size()][manifest.space().blocks().size()];
    double[][] spread = new double[ms.length][manifest.space().blocks().size()];
    Time call = times.get(manifest.only(KitManifest.Part.CALL).name());
    List<String> nothing = new ArrayList<>();
    for (KitManifest.Entry entry : manifest.files()) {
      if (entry.part() != KitManifest.Part.BLOCK) {
        continue;
      }
      Time time = times.get(entry.name());
      double own = Math.max(0, time.medianMs() - call.medianMs());
      if (own == 0) {
        nothing.add(entry.name());
      }
      int column = manifest.space().blocks().indexOf(entry.block());
      for (int layer : entry.layers()) {
        ms[layer][column] = own;
        spread[layer][column] = own == 0 ? 0 : time.spread() * time.medianMs() / own;
      }
    }
    if (!nothing.isEmpty()) {
      warnings.accept(
          String.format(
              Locale.ROOT,
              "%s take no longer than an empty call and count as 0 ms",
              String.join(", ", nothing)));
    }
    Time stem = times.get(manifest.only(KitManifest.Part.STEM).name());
    Time head = times.get(manifest.only(KitManifest.Part.HEAD).name());
    double fixed = stem.medianMs() + Math.max(0, head.medianMs() - call.medianMs());
    Map<String, String> libraries = new TreeMap<>();
    libraries.put(runtime, version);
    libraries.put("provider", provider);
    return LatencyTable.builder(device, manifest.space())
        .fixed(fixed)
        .fixedSpread((stem.spread() * stem.medianMs() + head.spread() * head.medianMs()) / fixed)
        .layers(ms)
        .spread(spread)
        .relative(false)
        .origin(origin)
        .fingerprint(
            Fingerprint.of(
                processor, threads, libraries, manifest.precision(), manifest.batch(), date))
        .build();
  }

  /**
   * Writes the file.
   *
   * @param kit the kit's folder
   */
  void write(Path file, Path kit) {
    ObjectNode tree = JsonNodeFactory.instance.objectNode();
    Path beside = file.toAbsolutePath().normalize().getParent();
    tree.put("format", FORMAT)
        .put("kind", KIND)
        .put("kit", named(beside, kit.toAbsolutePath().normalize()))
        .put("kit_sha256", Hash.of(kit.resolve(KitManifest.NAME)))
        .put("device", device)
        .put("processor", processor)
        .put("runtime", runtime)
        .put("version", version)
        .put("provider", provider)
        .put("threads", threads)
        .put("date", date)
        .put("runner", runner);
    ArrayNode list = tree.putArray("times");
    times.forEach(
        (name, time) ->
            list.addObject()
                .put("name", name)
                .put("median_ms", time.medianMs())
                .put("spread", time.spread())
                .put("runs", time.runs()));
    AtomicFile.writeText(file, JsonText.of(tree));
  }

  private static String named(Path from, Path kit) {
    String relative = from.relativize(kit).toString();
    return relative.isEmpty() ? "." : relative;
  }
}
