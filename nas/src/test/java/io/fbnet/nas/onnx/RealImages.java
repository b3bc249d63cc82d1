package io.fbnet.nas.onnx;

import io.fbnet.nas.UserException;
import io.fbnet.nas.data.DataOptions;
import io.fbnet.nas.data.DataSource;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.data.ImageShape;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.TimeUnit;

/**
 * Real images of any size where this machine has them: CIFAR-10 as JPEG for colour, Fashion-MNIST
 * for grey. Elsewhere generated ones serve, and standard output says so.
 */
final class RealImages {
  private static final Path ARCHIVE = Path.of("..", "..", "shared", "data", "cifar10-jpeg.tar.xz");
  private static final List<String> CLASSES =
      List.of(
          "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck");

  private RealImages() {}

  /** Images of this shape; the caller closes them. */
  static Dataset open(ImageShape shape, Path folder) throws IOException, InterruptedException {
    String missing;
    if (shape.channels() == 3) {
      if (Files.isRegularFile(ARCHIVE) && unpack(folder)) {
        return data(folder.resolve("cifar").toString(), shape, folder);
      }
      missing = "CIFAR-10 as JPEG files is not beside the project";
    } else {
      try {
        return fashion(shape);
      } catch (UserException e) {
        missing = e.getMessage();
      }
    }
    System.out.println("generated shapes serve instead of real images: " + missing);
    return data("shapes", shape, folder);
  }

  private static Dataset data(String name, ImageShape shape, Path folder) {
    return DataSource.open(
        DataOptions.of(name, shape).withOffline(true).withCacheDir(folder.resolve("cache")));
  }

  /** From the user's cache, where files of the right hash may lie. */
  private static Dataset fashion(ImageShape shape) {
    return DataSource.open(DataOptions.of("fashion-mnist", shape).withOffline(true));
  }

  /** Twelve images a class: a few of 60,000 are enough, and unpacking all would take long. */
  private static boolean unpack(Path folder) throws IOException, InterruptedException {
    Path target = Files.createDirectories(folder.resolve("cifar"));
    if (Files.isDirectory(target.resolve("train"))) {
      return true;
    }
    List<String> command =
        new ArrayList<>(
            List.of(
                "tar",
                "-xJf",
                ARCHIVE.toAbsolutePath().normalize().toString(),
                "-C",
                target.toString()));
    for (String name : CLASSES) {
      for (int i = 0; i < 12; i++) {
        command.add(String.format(Locale.ROOT, "train/%s/%04d.jpg", name, i));
      }
    }
    Process tar = new ProcessBuilder(command).redirectErrorStream(true).start();
    tar.getOutputStream().close();
    String words = new String(tar.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    if (!tar.waitFor(60, TimeUnit.SECONDS) || tar.exitValue() != 0) {
      System.out.println("tar could not unpack CIFAR-10: " + words.strip());
      return false;
    }
    return true;
  }
}
