package io.fbnet.nas.data;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * Reads one array of NumPy's format {@code .npy}, versions 1 to 3, as an image: u8, u16 or f32 of
 * either byte order, in C or Fortran order. Nothing is allocated before the header is found to be
 * true of the file.
 */
final class NpyArray {
  private static final byte[] MAGIC = {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y'};
  private static final int MOST_AXES = 3;
  private static final int MOST_SHOWN = 20;

  /** Sides that a sentence names. */
  private static final int MOST_SIDES = 8;

  /** What arrays of records have. */
  private static final Pattern RECORDS = Pattern.compile("['\"]descr['\"]\\s*:\\s*\\[");

  /** A key of the header and what it is set to. */
  private static final Pattern ENTRY =
      Pattern.compile(
          "\\s*(['\"])(\\w+)\\1\\s*:\\s*"
              + "(?:(['\"])([^'\"]*)\\3|(True|False)|\\(([\\d\\s,]*)\\))\\s*(,|(?=\\}))");

  private static final Pattern DIGITS = Pattern.compile("\\s*\\d{1,10}\\s*");

  private String descr = "";
  private Boolean fortran;
  private int[] shape;

  private NpyArray() {}

  static boolean isNpy(byte[] content) {
    return content.length >= MAGIC.length
        && Arrays.equals(content, 0, MAGIC.length, MAGIC, 0, MAGIC.length);
  }

  /**
   * Reads one.
   *
   * @param space whose channels tell which axis they are on
   * @throws BadImageException where it is no such array, is damaged, or does not fit the space
   */
  static RasterImage read(byte[] content, ImageShape space) throws BadImageException {
    int version = content.length < 8 ? 0 : content[6];
    int start = version == 1 ? 10 : 12;
    if (content.length < 8 || version >= 1 && version <= 3 && content.length < start) {
      throw truncated();
    }
    if (version < 1 || version > 3) {
      throw new BadImageException("is an array of an unknown version of .npy, " + version);
    }
    ByteBuffer file = ByteBuffer.wrap(content).order(ByteOrder.LITTLE_ENDIAN);
    long length = version == 1 ? file.getChar(8) : Integer.toUnsignedLong(file.getInt(8));
    if (length > content.length - start) {
      throw truncated();
    }
    NpyArray header = new NpyArray();
    header.parse(new String(content, start, (int) length, StandardCharsets.UTF_8));
    return header.image(
        file.slice(start + (int) length, content.length - start - (int) length), space);
  }

  private static BadImageException truncated() {
    return new BadImageException("is a truncated .npy file: its header ends early");
  }

  private void parse(String header) throws BadImageException {
    String dictionary = header.strip();
    if (!dictionary.startsWith("{") || !dictionary.endsWith("}")) {
      throw corrupt("it is no dictionary");
    }
    if (RECORDS.matcher(dictionary).find()) {
      throw new BadImageException(
          "is an array of records; save one array of numbers, such as array['field']");
    }
    Matcher entry = ENTRY.matcher(dictionary).region(1, dictionary.length());
    while (entry.lookingAt()) {
      take(entry);
      entry.region(entry.end(), dictionary.length());
    }
    if (!dictionary.substring(entry.regionStart()).strip().equals("}")) {
      throw corrupt("it is no dictionary of descr, fortran_order and shape");
    }
    if (descr.isEmpty() || fortran == null || shape == null) {
      throw corrupt("descr, fortran_order or shape is missing");
    }
  }

  private void take(Matcher entry) throws BadImageException {
    String key = entry.group(2);
    boolean second =
        switch (key) {
          case "descr" -> !descr.isEmpty();
          case "fortran_order" -> fortran != null;
          case "shape" -> shape != null;
          default -> throw corrupt("it has the key '" + shown(key) + "'");
        };
    if (second) {
      throw corrupt("it has " + key + " twice");
    }
    String text = entry.group(key.equals("descr") ? 4 : key.equals("shape") ? 6 : 5);
    if (text == null) {
      throw corrupt(key + " is none");
    }
    switch (key) {
      case "descr" -> descr = text.isEmpty() ? "?" : shown(text);
      case "fortran_order" -> fortran = text.equals("True");
      default -> shape = sides(text);
    }
  }

  /** What a message can show of a file's own words, and all of those that are right. */
  private static String shown(String text) {
    return text.length() > MOST_SHOWN ? text.substring(0, MOST_SHOWN) + "..." : text;
  }

  private static int[] sides(String text) throws BadImageException {
    List<Integer> sides = new ArrayList<>();
    String[] parts = text.isBlank() ? new String[0] : text.split(",", -1);
    for (int i = 0; i < parts.length; i++) {
      // Python's tuple of one has a comma behind it, and any may.
      if (i == parts.length - 1 && i > 0 && parts[i].isBlank()) {
        break;
      }
      if (!DIGITS.matcher(parts[i]).matches()) {
        throw corrupt("shape holds something else than sides below 2147483648");
      }
      long side = Long.parseLong(parts[i].strip());
      if (side > Integer.MAX_VALUE) {
        throw corrupt("shape has a side of " + side);
      }
      sides.add((int) side);
    }
    return sides.stream().mapToInt(Integer::intValue).toArray();
  }

  private static BadImageException corrupt(String why) {
    return new BadImageException("is a corrupt .npy file: of its header, " + why);
  }

  private RasterImage image(ByteBuffer data, ImageShape space) throws BadImageException {
    int bytes =
        switch (descr) {
          case "|u1", "<u1", ">u1", "=u1", "u1" -> 1;
          case "<u2", ">u2", "=u2" -> 2;
          case "<f4", ">f4", "=f4" -> 4;
          default ->
              throw new BadImageException(
                  "holds numbers of the type '"
                      + descr
                      + "'; uint8, uint16 and float32 are read: save array.astype('float32')");
        };
    requireLength(data.limit(), bytes);
    Layout layout = layout(space);
    if (bytes == 4 && space.pixels() == PixelType.U8) {
      throw new BadImageException(
          "holds floats, which bytes cannot keep; say --pixels f32, or save"
              + " (255 * array).astype('uint8') of numbers from 0 to 1");
    }
    data.order(descr.startsWith(">") ? ByteOrder.BIG_ENDIAN : ByteOrder.LITTLE_ENDIAN);
    boolean deep = bytes > 1 && space.pixels() == PixelType.F32;
    RasterImage image = RasterImage.empty(layout.channels, layout.height, layout.width, deep);
    int to = 0;
    for (int c = 0; c < layout.channels; c++) {
      for (int y = 0; y < layout.height; y++) {
        for (int x = 0; x < layout.width; x++, to++) {
          int at = c * layout.channelStride + y * layout.rowStride + x * layout.columnStride;
          switch (bytes) {
            case 1 -> image.planes[to] = data.get(at);
            case 2 -> Samples.put(image, to, data.getChar(2 * at), 65535);
            default -> image.numbers[to] = finite(data.getFloat(4 * at));
          }
        }
      }
    }
    return image;
  }

  private static float finite(float value) throws BadImageException {
    if (!Float.isFinite(value)) {
      throw new BadImageException("holds " + value + ", which is no finite number");
    }
    return value;
  }

  /** Whether there are exactly as many numbers as the header says. */
  private void requireLength(int length, int bytes) throws BadImageException {
    if (Arrays.stream(shape).anyMatch(side -> side == 0)) {
      throw new BadImageException(
          "is an array of the shape " + text() + ", which holds no numbers");
    }
    // Sides are below 2^31 and at most three are multiplied, one by one.
    long needed = bytes;
    for (int side : shape) {
      needed = needed > length ? needed : needed * side;
    }
    if (needed > length) {
      throw new BadImageException(
          "is a truncated .npy file: its "
              + length
              + " bytes of numbers are too few for "
              + text());
    }
    if (needed < length) {
      throw corrupt("shape " + text() + " leaves " + (length - needed) + " bytes over");
    }
  }

  private String text() {
    return Arrays.stream(shape)
        .limit(MOST_SIDES)
        .mapToObj(Integer::toString)
        .collect(Collectors.joining(", ", "[", shape.length > MOST_SIDES ? ", ...]" : "]"));
  }

  /** Sides of an image and how far apart its numbers lie. */
  private record Layout(
      int channels, int height, int width, int channelStride, int rowStride, int columnStride) {
    boolean isOfSize(ImageShape space) {
      return height == space.height() && width == space.width();
    }
  }

  private Layout layout(ImageShape space) throws BadImageException {
    int channels = space.channels();
    if (shape.length < 2 || shape.length > MOST_AXES) {
      throw new BadImageException(
          "is an array of the shape "
              + text()
              + "; images are [channels, height, width] or [height, width, channels]");
    }
    int[] strides = new int[shape.length];
    int stride = 1;
    for (int k = 0; k < shape.length; k++) {
      int axis = fortran ? k : shape.length - 1 - k;
      strides[axis] = stride;
      stride *= shape[axis];
    }
    if (shape.length == 2) {
      return checked(new Layout(1, shape[0], shape[1], 0, strides[0], strides[1]), channels);
    }
    Layout first = new Layout(shape[0], shape[1], shape[2], strides[0], strides[1], strides[2]);
    Layout last = new Layout(shape[2], shape[0], shape[1], strides[2], strides[0], strides[1]);
    if (shape[0] != channels || shape[2] != channels) {
      return checked(shape[2] == channels ? last : first, channels);
    }
    if (!first.isOfSize(space) && !last.isOfSize(space)) {
      throw new BadImageException(
          "is an array of the shape "
              + text()
              + ", of which either end may be the channels; bring it to the space's size, "
              + space.height()
              + " x "
              + space.width());
    }
    return checked(first.isOfSize(space) ? first : last, channels);
  }

  private Layout checked(Layout layout, int channels) throws BadImageException {
    if (layout.channels != channels) {
      throw new BadImageException(
          "is an array of the shape "
              + text()
              + ", neither end of which is the "
              + channels
              + (channels == 1 ? " channel" : " channels")
              + " of the space");
    }
    ImageFileDecoder.requireReasonable(layout.height, layout.width);
    return layout;
  }
}
