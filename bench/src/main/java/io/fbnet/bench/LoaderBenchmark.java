package io.fbnet.bench;

import io.fbnet.engine.cpu.CpuBackend;
import io.fbnet.engine.graph.Constants;
import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.program.ParameterStore;
import io.fbnet.engine.program.Program;
import io.fbnet.nas.data.Augmentation;
import io.fbnet.nas.data.Batch;
import io.fbnet.nas.data.BatchLoader;
import io.fbnet.nas.data.DataOptions;
import io.fbnet.nas.data.DataSource;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.data.ImageShape;
import io.fbnet.nas.network.BatchInputs;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import javax.imageio.ImageIO;
import org.openjdk.jmh.annotations.AuxCounters;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * Images a second from a folder of JPEG photographs of 256x192: the first reading, which decodes,
 * crops, scales and keeps them; ImageIO decoding the same files and nothing else; the batches of an
 * epoch after that; and the same batches as a step on the CPU has them before its first
 * convolution: shuffled, cropped, mirrored and normalised.
 */
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.SECONDS)
@Fork(
    value = 1,
    jvmArgsAppend = {"--add-modules=jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED"})
@Warmup(iterations = 3, time = 5)
@Measurement(iterations = 5, time = 5)
public class LoaderBenchmark {
  private static final int TRAIN = 600;
  private static final int TEST = 40;
  private static final int WIDTH = 256;
  private static final int HEIGHT = 192;
  private static final int BATCH = 50;

  /** Images that went through; JMH divides them by the time. */
  @State(Scope.Thread)
  @AuxCounters(AuxCounters.Type.OPERATIONS)
  public static class Images {
    public long images;

    @Setup(Level.Iteration)
    public void reset() {
      images = 0;
    }
  }

  /** A folder of photographs, and the same read. */
  @State(Scope.Thread)
  public static class Folder {
    @Param("2")
    public int threads;

    /** Pixels of a side of an image. */
    @Param({"32", "224"})
    public int side;

    private Path root;
    private int caches;
    private List<Path> files;
    private ExecutorService pool;
    private Dataset read;
    private BatchLoader loader;

    @Setup(Level.Trial)
    public void open() throws IOException {
      root = Files.createTempDirectory("fbnet-loader");
      files = new ArrayList<>();
      Random random = new Random(1);
      for (String kind : new String[] {"a", "b"}) {
        write(root.resolve("photos/train").resolve(kind), TRAIN / 2, random);
        write(root.resolve("photos/test").resolve(kind), TEST / 2, random);
      }
      pool = Executors.newFixedThreadPool(threads);
      read = read();
      loader = loader(Augmentation.cropAndFlip(2));
    }

    private BatchLoader loader(Augmentation augmentation) {
      return BatchLoader.over(read.train(), IntStream.range(0, TRAIN).toArray())
          .batchSize(BATCH)
          .augmentation(augmentation)
          .normalisation(read.normalisation())
          .shuffle(true)
          .build();
    }

    private void write(Path folder, int count, Random random) throws IOException {
      Files.createDirectories(folder);
      for (int i = 0; i < count; i++) {
        Path file = folder.resolve(i + ".jpg");
        ImageIO.write(photograph(random), "jpg", file.toFile());
        files.add(file);
      }
    }

    /** Smooth shades with some noise: noise alone would make every file ten times as long. */
    private static BufferedImage photograph(Random random) {
      BufferedImage image = new BufferedImage(WIDTH, HEIGHT, BufferedImage.TYPE_INT_RGB);
      double[] wave = random.doubles(6, 0.01, 0.1).toArray();
      for (int y = 0; y < HEIGHT; y++) {
        for (int x = 0; x < WIDTH; x++) {
          int rgb = 0;
          for (int c = 0; c < 3; c++) {
            double shade = 1 + Math.sin(x * wave[c] + y * wave[3 + c]);
            rgb = rgb << 8 | (int) (shade * 110) + random.nextInt(30);
          }
          image.setRGB(x, y, rgb);
        }
      }
      return image;
    }

    /** Reads the folder with a cache that knows nothing. */
    private Dataset read() {
      return DataSource.open(
          DataOptions.of(root.resolve("photos").toString(), new ImageShape(3, side, side))
              .withThreads(threads)
              .withOffline(true)
              .withCacheDir(root.resolve("cache" + caches++)));
    }

    @TearDown(Level.Trial)
    public void close() throws IOException {
      loader.close();
      read.close();
      pool.close();
      Files.walkFileTree(
          root,
          new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes attributes)
                throws IOException {
              Files.delete(file);
              return FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult postVisitDirectory(Path folder, IOException failure)
                throws IOException {
              Files.delete(folder);
              return FileVisitResult.CONTINUE;
            }
          });
    }
  }

  @Benchmark
  public void firstReading(Folder folder, Images count) {
    folder.read().close();
    count.images += folder.files.size();
  }

  @Benchmark
  public void imageIo(Folder folder, Images count) throws InterruptedException, ExecutionException {
    List<Callable<Integer>> tasks = new ArrayList<>();
    for (Path file : folder.files) {
      tasks.add(() -> ImageIO.read(file.toFile()).getRGB(0, 0));
    }
    for (Future<Integer> task : folder.pool.invokeAll(tasks)) {
      task.get();
    }
    count.images += folder.files.size();
  }

  @Benchmark
  public void epoch(Folder folder, Images count) {
    epoch(folder.loader, count);
  }

  private static void epoch(BatchLoader loader, Images count) {
    loader.start(0, 0);
    for (int i = 0; i < loader.batches(); i++) {
      loader.next();
    }
    count.images += TRAIN;
  }

  /** The same images by a loader whose host changes pixels. */
  @State(Scope.Thread)
  public static class Augmented {
    @Param({"resized", "jitter", "rand-augment", "cutout", "all"})
    public String how;

    private BatchLoader loader;

    @Setup(Level.Trial)
    public void open(Folder folder) {
      boolean all = how.equals("all");
      loader =
          folder.loader(
              new Augmentation(
                  all || how.equals("resized")
                      ? new Augmentation.Resized(0.08)
                      : new Augmentation.Padded(2),
                  true,
                  all || how.equals("jitter") ? 0.4 : 0,
                  all || how.equals("rand-augment")
                      ? new Augmentation.RandAugment(2, 9)
                      : Augmentation.RandAugment.NONE,
                  all || how.equals("cutout") ? folder.side / 4 : 0,
                  0));
    }

    @TearDown(Level.Trial)
    public void close() {
      loader.close();
    }
  }

  @Benchmark
  public void augmentedEpoch(Folder folder, Augmented augmented, Images count) {
    epoch(augmented.loader, count);
  }

  /** A program that takes batches and does nothing more with them. */
  @State(Scope.Thread)
  public static class Input {
    private CpuBackend backend;
    private ParameterStore store;
    private Program program;

    @Setup(Level.Trial)
    public void compile(Folder folder) {
      backend = CpuBackend.open(folder.threads);
      GraphBuilder b = new GraphBuilder();
      b.output(
          "y",
          b.normaliseImages(
              b.input("images", Type.U8, BATCH, 3, folder.side, folder.side),
              b.input("windows", Type.I32, BATCH, 3),
              Constants.of(0.5f, 0.5f, 0.5f),
              Constants.of(0.25f, 0.25f, 0.25f)));
      store = new ParameterStore(backend, b.build().parameters());
      program = Program.compile(backend, b.build(), store);
    }

    @TearDown(Level.Trial)
    public void close() {
      program.close();
      store.close();
      backend.close();
    }
  }

  @Benchmark
  public void epochIntoStep(Folder folder, Input input, Images count) {
    folder.loader.start(0, 0);
    for (Batch batch = folder.loader.next(); batch != null; batch = folder.loader.next()) {
      BatchInputs.writeImages(input.program, batch);
      input.program.run();
    }
    count.images += TRAIN;
  }
}
