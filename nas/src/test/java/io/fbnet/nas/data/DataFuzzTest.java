package io.fbnet.nas.data;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;

import io.fbnet.nas.fuzz.Fuzz;
import io.fbnet.nas.fuzz.Fuzz.Target;
import io.fbnet.nas.fuzz.Mutator;
import java.awt.image.BufferedImage;
import java.awt.image.IndexColorModel;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import java.util.zip.CRC32;
import java.util.zip.CRC32C;
import java.util.zip.GZIPOutputStream;
import javax.imageio.IIOImage;
import javax.imageio.ImageIO;
import javax.imageio.ImageWriteParam;
import javax.imageio.ImageWriter;
import javax.imageio.stream.MemoryCacheImageOutputStream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

/** Images, IDX and CIFAR files and kept decoded images that are damaged in many ways. */
class DataFuzzTest {
  private static final long MIB = 1 << 20;
  private static final ImageShape SHAPE = new ImageShape(3, 9, 7);

  @TempDir Path folder;

  @TestFactory
  Stream<DynamicTest> fewOfEachReader() throws IOException {
    return Fuzz.fewOf(targets().stream());
  }

  @Tag("full")
  @Tag("sweep")
  @TestFactory
  Stream<DynamicTest> manyOfEachReader() throws IOException {
    return Fuzz.manyOf(targets().stream());
  }

  private List<Target> targets() throws IOException {
    return List.of(
        image("JPEG", jpegs(), UnaryOperator.identity()),
        image("PNG", pngs(), DataFuzzTest::withRightChecksums),
        image("Netpbm", netpbms(), UnaryOperator.identity()),
        image("npy", arrays(), UnaryOperator.identity()),
        image("TIFF", pictures(".tif"), UnaryOperator.identity()),
        image("WebP", pictures(".webp"), UnaryOperator.identity()),
        idx("train-images-idx3-ubyte", images(4)),
        idx("train-labels-idx1-ubyte", labels(4)),
        idx("t10k-images-idx3-ubyte.gz", zipped(images(3))),
        cifar("data_batch_1.bin", batch(2)),
        cifar("batches.meta.txt", names()),
        cache(),
        shard(),
        shardIndex());
  }

  private Target image(String format, List<byte[]> valid, UnaryOperator<byte[]> mend) {
    return new Target(
        format,
        folder.resolve("image." + format),
        folder,
        new Mutator(valid, mend),
        file -> {
          try (ImageFileDecoder decoder = new ImageFileDecoder()) {
            byte[] content = Files.readAllBytes(file);
            ImageShape deep = SHAPE.with(PixelType.F32);
            CentreCropResizer.fit(decoder.decode(content, deep), deep);
            if (!format.equals("TIFF")) {
              CentreCropResizer.fit(decoder.decode(content, SHAPE), SHAPE);
            }
          }
        },
        BadImageException.class,
        // Flat images of WebP take hardly a byte.
        format.equals("WebP") ? 32 * MIB : 2 * MIB,
        // The densest that a format packs pixels, times what a pixel takes decoded.
        format.equals("Netpbm") || format.equals("npy") ? 64 : 1 << 16);
  }

  private static List<byte[]> jpegs() throws IOException {
    BufferedImage colour = TestFiles.gradient(37, 29, 3);
    BufferedImage grey = new BufferedImage(19, 23, BufferedImage.TYPE_BYTE_GRAY);
    grey.createGraphics().drawLine(0, 0, 18, 22);
    byte[] plain = TestFiles.encode(colour, "jpeg");
    return List.of(
        plain,
        TestFiles.encode(grey, "jpeg"),
        progressive(colour),
        TestFiles.withExif(plain, TestFiles.tiff(6, true)));
  }

  private static byte[] progressive(BufferedImage image) throws IOException {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    ImageWriter writer = ImageIO.getImageWritersByFormatName("jpeg").next();
    try (MemoryCacheImageOutputStream stream = new MemoryCacheImageOutputStream(out)) {
      ImageWriteParam how = writer.getDefaultWriteParam();
      how.setProgressiveMode(ImageWriteParam.MODE_DEFAULT);
      writer.setOutput(stream);
      writer.write(null, new IIOImage(image, null, null), how);
    } finally {
      writer.dispose();
    }
    return out.toByteArray();
  }

  private static List<byte[]> pngs() {
    byte[] colour = TestFiles.encode(TestFiles.gradient(31, 17, 5), "png");
    List<byte[]> files = new ArrayList<>(List.of(colour));
    for (int type :
        new int[] {
          BufferedImage.TYPE_BYTE_GRAY,
          BufferedImage.TYPE_USHORT_GRAY,
          BufferedImage.TYPE_BYTE_BINARY,
          BufferedImage.TYPE_4BYTE_ABGR
        }) {
      BufferedImage image = new BufferedImage(21, 13, type);
      image.createGraphics().drawLine(0, 0, 20, 12);
      files.add(TestFiles.encode(image, "png"));
    }
    byte[] ramp = {0, 1, 2, 3};
    IndexColorModel palette = new IndexColorModel(2, 4, ramp, ramp, ramp, 1);
    BufferedImage indexed = new BufferedImage(9, 11, BufferedImage.TYPE_BYTE_BINARY, palette);
    files.add(TestFiles.encode(indexed, "png"));
    files.add(TestFiles.withChunk(colour, "eXIf", TestFiles.tiff(5, false)));
    files.add(TestFiles.withChunk(colour, "tEXt", "a\0b".getBytes(StandardCharsets.US_ASCII)));
    files.add(TestFiles.withChunk(colour, "gAMA", new byte[] {0, 0, (byte) 0xb1, (byte) 0x8f}));
    files.add(TestFiles.withChunk(colour, "tRNS", new byte[] {0, 1, 0, 2, 0, 3}));
    return files;
  }

  /** Every chunk's checksum as it should be, as far as chunks can be told. */
  private static byte[] withRightChecksums(byte[] png) {
    ByteBuffer file = ByteBuffer.wrap(png);
    int at = 8;
    while (at <= png.length - 12) {
      int length = file.getInt(at);
      if (length < 0 || length > png.length - 12 - at) {
        break;
      }
      CRC32 crc = new CRC32();
      crc.update(png, at + 4, length + 4);
      file.putInt(at + 8 + length, (int) crc.getValue());
      at += 12 + length;
    }
    return png;
  }

  private static List<byte[]> netpbms() {
    return List.of(
        TestFiles.ppm("P5\n# by hand\n2 2\n255\n", 7, 200, 3, 4),
        TestFiles.ppm("P6 1 2 255 ", 1, 2, 3, 4, 5, 6),
        TestFiles.ppm("P5 2 1 65535 ", 255, 255, 128, 128));
  }

  private static List<byte[]> pictures(String ending) {
    return Stream.of(
            "rgb_uint16.tif",
            "rgb_float32.tif",
            "alpha.tif",
            "white.tif",
            "photo_tiff_lzw.tif",
            "photo_packbits.tif",
            "photo_jpeg.tif",
            "palette.tif",
            "fax.tif",
            "lossy.webp",
            "lossless.webp",
            "few.webp",
            "covered.webp",
            "covered_lossy.webp",
            "turned.webp")
        .filter(name -> name.endsWith(ending))
        .map(PicturesTest::picture)
        .toList();
  }

  private static List<byte[]> arrays() {
    List<byte[]> files = new ArrayList<>();
    Random random = new Random(4);
    for (String descr : List.of("|u1", "<u2", ">u2")) {
      double[] numbers = TestArrays.random(random, descr, 3 * 5 * 4, 1);
      files.add(TestArrays.npy(descr, numbers, 3, 5, 4));
      byte[] data = TestArrays.data(descr, numbers);
      files.add(TestArrays.file(2, TestArrays.header(descr, true, 5, 4, 3), data));
    }
    return files;
  }

  private static byte[] images(int count) {
    ByteBuffer file = ByteBuffer.allocate(16 + count * 63);
    file.putInt(0x803).putInt(count).putInt(9).putInt(7);
    byte[] pixels = new byte[count * 63];
    new Random(count).nextBytes(pixels);
    return file.put(pixels).array();
  }

  private static byte[] labels(int count) {
    ByteBuffer file = ByteBuffer.allocate(8 + count).putInt(0x801).putInt(count);
    for (int i = 0; i < count; i++) {
      file.put((byte) (i % 2));
    }
    return file.array();
  }

  private static byte[] zipped(byte[] content) throws IOException {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    try (GZIPOutputStream zip = new GZIPOutputStream(out)) {
      zip.write(content);
    }
    return out.toByteArray();
  }

  /** A data set of IDX files, one of which is damaged. */
  private Target idx(String damaged, byte[] valid) throws IOException {
    Path place = folder.resolve("idx-" + damaged);
    TestFiles.write(place.resolve("train-images-idx3-ubyte"), images(4));
    TestFiles.write(place.resolve("train-labels-idx1-ubyte"), labels(4));
    TestFiles.write(place.resolve("t10k-labels-idx1-ubyte"), labels(3));
    if (!damaged.startsWith("t10k-images")) {
      TestFiles.write(place.resolve("t10k-images-idx3-ubyte"), images(3));
    }
    // One byte of gzip gives at most 1032.
    return dataSet(damaged, place, new ImageShape(1, 9, 7), valid, 8000);
  }

  private static byte[] batch(int images) {
    byte[] records = new byte[images * 3073];
    new Random(images).nextBytes(records);
    for (int i = 0; i < images; i++) {
      records[i * 3073] = (byte) i;
    }
    return records;
  }

  private static byte[] names() {
    return "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n".getBytes(StandardCharsets.UTF_8);
  }

  /** A data set of CIFAR's files, one of which is damaged. */
  private Target cifar(String damaged, byte[] valid) throws IOException {
    Path place = folder.resolve("cifar-" + damaged);
    for (int i = 1; i <= 5; i++) {
      TestFiles.write(place.resolve("data_batch_" + i + ".bin"), batch(1));
    }
    TestFiles.write(place.resolve("test_batch.bin"), batch(1));
    TestFiles.write(place.resolve("batches.meta.txt"), names());
    return dataSet(damaged, place, new ImageShape(3, 32, 32), valid, 200);
  }

  private Target dataSet(
      String damaged, Path place, ImageShape shape, byte[] valid, long bytesPerByte) {
    DataOptions options =
        TestFiles.options(place, shape, folder.resolve("cache"), TestFiles.notices());
    return new Target(
        damaged,
        place.resolve(damaged),
        place,
        new Mutator(List.of(valid)),
        file -> {
          DataCheck.run(options);
          try (Dataset data = DataSource.open(options)) {
            data.train().image(0).toArray(JAVA_BYTE);
          }
        },
        null,
        2 * MIB,
        bytesPerByte);
  }

  private Target shard() throws IOException {
    Path place = TestShards.folder(folder.resolve("shards"), 2, 4);
    String damaged = "pets-train-1.tar";
    byte[] valid = Files.readAllBytes(place.resolve(damaged));
    // Its images are decoded, which takes what a pixel takes times the densest that PNG packs them.
    return dataSet(damaged, place, SHAPE, valid, 1 << 16);
  }

  private Target shardIndex() throws IOException {
    Path place = TestShards.folder(folder.resolve("indexed"), 2, 4);
    return kept("index of shards", place, "shards", TestShards::withRightSum);
  }

  private Target cache() throws IOException {
    Path place = TestFiles.imageFolder(folder.resolve("images"), 3, 2);
    return kept("decoded images", place, "decoded", DataFuzzTest::withRightSums);
  }

  /** What the cache keeps, damaged: the mark is that it is made anew. */
  private Target kept(String name, Path place, String within, UnaryOperator<byte[]> mend)
      throws IOException {
    Path cache = folder.resolve("kept");
    List<String> notices = TestFiles.notices();
    DataOptions options = TestFiles.options(place, SHAPE, cache, notices);
    DataSource.open(options).close();
    Path kept;
    try (Stream<Path> files = Files.list(cache.resolve(within))) {
      kept = files.findFirst().orElseThrow();
    }
    return new Target(
        name,
        kept,
        // Its checksum is mended, so what it says is believed: the images are named then.
        folder,
        new Mutator(List.of(Files.readAllBytes(kept)), mend),
        file -> {
          notices.clear();
          try (Dataset data = DataSource.open(options)) {
            data.train().image(0).toArray(JAVA_BYTE);
          }
          if (notices.stream().anyMatch(notice -> notice.contains("is not usable"))) {
            throw new BadImageException(notices.getFirst());
          }
        },
        BadImageException.class,
        2 * MIB,
        200);
  }

  /** A cache's two checksums as they should be. */
  private static byte[] withRightSums(byte[] bytes) {
    if (bytes.length < CacheFile.PREFIX_BYTES) {
      return bytes;
    }
    ByteBuffer file = ByteBuffer.wrap(bytes);
    CRC32C content = new CRC32C();
    content.update(file.slice(4096, bytes.length - 4096));
    file.putLong(32, content.getValue());
    CRC32C prefix = new CRC32C();
    prefix.update(file.slice(0, 40));
    file.putLong(40, prefix.getValue());
    return bytes;
  }
}
