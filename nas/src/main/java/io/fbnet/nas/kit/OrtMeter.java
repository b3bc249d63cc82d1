package io.fbnet.nas.kit;

import io.fbnet.engine.cpu.CpuBackend;
import io.fbnet.engine.graph.Graph;
import io.fbnet.nas.UserException;
import io.fbnet.nas.file.TemporaryFolder;
import io.fbnet.nas.latency.Fingerprint;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.measure.LatencyMeter;
import io.fbnet.nas.measure.LatencyMeter.Progress;
import io.fbnet.nas.network.ArchitectureGraphs;
import io.fbnet.nas.network.BatchInputs;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.SearchSpace;
import java.nio.file.Path;
import java.time.LocalDate;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Consumer;

/** Times kits and whole networks on this machine's CPU with ONNX Runtime for Java. */
public final class OrtMeter {
  private final int threads;

  /** Measures with this many threads inside one operation. */
  public OrtMeter(int threads) {
    this.threads = threads;
  }

  /**
   * Times every file of a kit and writes the result.
   *
   * @param device what the result calls this machine; empty for the processor's name
   * @param out the file to write
   */
  public void run(Path kit, String device, Path out, Progress progress) {
    time(kit, device, progress).write(out, kit);
  }

  private KitResult time(Path kit, String device, Progress progress) {
    KitManifest manifest = KitManifest.read(kit);
    for (KitManifest.Entry entry : manifest.files()) {
      if (!Hash.of(kit.resolve(entry.name())).equals(entry.sha256())) {
        throw UserException.data(
            "%s is damaged: its SHA-256 is not the one that %s names",
            kit.resolve(entry.name()), kit.resolve(KitManifest.NAME));
      }
    }
    List<String> names = manifest.files().stream().map(KitManifest.Entry::name).toList();
    Map<String, KitResult.Time> times =
        new Rounds(manifest.protocol())
            .time(
                names,
                name -> {
                  KitManifest.Entry entry = manifest.files().get(names.indexOf(name));
                  return new OrtFile(
                      kit.resolve(name), entry.input(), entry.shape(), entry.bytesIn(), threads);
                },
                1,
                progress);
    return new KitResult(
        device.isEmpty() ? device() : device,
        CpuBackend.processor(),
        OrtFile.RUNTIME,
        OrtFile.version(),
        OrtFile.PROVIDER,
        threads,
        today(),
        "fbnet latency kit run",
        times);
  }

  private static String today() {
    return LocalDate.now(ZoneOffset.UTC).toString();
  }

  private String device() {
    return String.format(
        Locale.ROOT,
        "%s, %d thread%s, ONNX Runtime",
        CpuBackend.processor(),
        threads,
        threads == 1 ? "" : "s");
  }

  /** Under what conditions this meter measures; precision is f32 or int8. */
  public Fingerprint fingerprint(String precision, int batch) {
    return Fingerprint.of(
        CpuBackend.processor(),
        threads,
        Map.of(OrtFile.RUNTIME, OrtFile.version(), "provider", OrtFile.PROVIDER),
        precision,
        batch,
        today());
  }

  /** Measures a space's table by a kit that is removed at the end. */
  public LatencyTable measure(
      SearchSpace space, int batch, boolean int8, Consumer<String> warnings, Progress progress) {
    OrtFile.version();
    return TemporaryFolder.use(
        "fbnet-onnx-",
        folder -> {
          Path kit = folder.resolve("kit");
          Kit.write(space, batch, int8, kit, progress);
          return time(kit, "", progress)
              .table(
                  KitManifest.read(kit),
                  "measured by fbnet latency measure --runtime onnxruntime",
                  warnings);
        });
  }

  /** Times whole networks twice, each time from the start, beside a table's sums. */
  public LatencyMeter.Verification verify(
      LatencyTable table, List<Architecture> networks, Progress progress) {
    int batch = table.fingerprint().batch();
    boolean int8 = table.fingerprint().precision().equals(Kit.INT8);
    double[] predicted = networks.stream().mapToDouble(table::latencyOf).toArray();
    return TemporaryFolder.use(
        "fbnet-onnx-",
        folder -> {
          List<Path> files = new ArrayList<>();
          for (int i = 0; i < networks.size(); i++) {
            Graph graph = ArchitectureGraphs.inference(networks.get(i), batch);
            files.add(folder.resolve("network" + (i + 1) + ".onnx"));
            Kit.export(graph, int8, files.getLast());
          }
          List<Integer> shape = shape(networks.getFirst().space(), batch);
          double[] measured = time(files, shape, 0, progress);
          double[] repeated = time(files, shape, 1, progress);
          return new LatencyMeter.Verification(predicted, measured, repeated, 1);
        });
  }

  private static List<Integer> shape(SearchSpace space, int batch) {
    SearchSpace.Input in = space.input();
    return List.of(batch, in.channels(), in.height(), in.width());
  }

  /**
   * {@return milliseconds of each file, the files taking turns}
   *
   * @param files of networks, as {@link io.fbnet.nas.onnx.OnnxExport} writes them
   * @param space of all of them
   * @param batch images a run
   * @param progress told how far it is
   */
  public double[] time(List<Path> files, SearchSpace space, int batch, Progress progress) {
    return time(files, shape(space, batch), 0, progress);
  }

  private double[] time(List<Path> files, List<Integer> shape, long seed, Progress progress) {
    List<String> names = files.stream().map(Path::toString).toList();
    return new Rounds(Protocol.DEFAULT)
            .time(
                names,
                name -> new OrtFile(Path.of(name), BatchInputs.IMAGES, shape, false, threads),
                seed,
                progress)
            .values()
            .stream()
            .mapToDouble(KitResult.Time::medianMs)
            .toArray();
  }
}
