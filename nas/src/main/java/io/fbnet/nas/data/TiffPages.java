package io.fbnet.nas.data;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * What a TIFF or BigTIFF file says of its pages, all of which is checked against the file's length:
 * decoders take what a file says for granted, and memory for it.
 */
final class TiffPages {
  private static final int MOST_PAGES = 4096;

  private static final int SUBFILE = 254;
  private static final int WIDTH = 256;
  private static final int HEIGHT = 257;
  private static final int BITS = 258;
  private static final int COMPRESSION = 259;
  private static final int PHOTOMETRIC = 262;
  private static final int OFFSETS = 273;
  private static final int ORIENTATION = 274;
  private static final int SAMPLES = 277;
  private static final int COUNTS = 279;
  private static final int TILE_WIDTH = 322;
  private static final int TILE_HEIGHT = 323;
  private static final int TILE_OFFSETS = 324;
  private static final int TILE_COUNTS = 325;
  private static final int EXTRA = 338;
  private static final int FORMAT = 339;

  /** Smaller copies and masks of other pages. */
  private static final long NO_PAGE = 1 | 4;

  private final ByteBuffer file;
  private final boolean big;
  private final Map<Integer, long[]> tags = new HashMap<>();

  private TiffPages(byte[] content) {
    file = ByteBuffer.wrap(content);
    file.order(content[0] == 'I' ? ByteOrder.LITTLE_ENDIAN : ByteOrder.BIG_ENDIAN);
    big = file.getShort(2) == 43;
  }

  static boolean isTiff(byte[] content) {
    return content.length >= 8
        && (content[0] == 'I' && content[1] == 'I' && content[3] == 0 && isVersion(content[2])
            || content[0] == 'M' && content[1] == 'M' && content[2] == 0 && isVersion(content[3]));
  }

  private static boolean isVersion(byte version) {
    return version == 42 || version == 43;
  }

  /**
   * One page.
   *
   * @param index in the file, from 0
   * @param bits of each sample
   * @param format 1 for whole numbers from 0, 2 for others, 3 for floats
   * @param alpha 0 for none, 1 where colours are already multiplied by it, 2 where not
   * @param orientation Exif's 1 to 8
   */
  record Page(
      int index,
      int height,
      int width,
      int samples,
      int bits,
      int format,
      int photometric,
      int alpha,
      int orientation) {
    /** Whether another has samples of the same kind and as many. */
    boolean isLike(Page other) {
      return height == other.height
          && width == other.width
          && samples == other.samples
          && bits == other.bits
          && format == other.format;
    }
  }

  /** All pages, without smaller copies of others. */
  static List<Page> of(byte[] content) throws BadImageException {
    TiffPages pages = new TiffPages(content);
    try {
      return pages.walk();
    } catch (IndexOutOfBoundsException e) {
      throw new BadImageException("is a truncated TIFF", e);
    }
  }

  private List<Page> walk() throws BadImageException {
    List<Page> pages = new ArrayList<>();
    Set<Long> seen = new HashSet<>();
    long needed = 0;
    long at = big ? file.getLong(8) : Integer.toUnsignedLong(file.getInt(4));
    for (int index = 0; at != 0; index++) {
      if (!seen.add(at) || index == MOST_PAGES) {
        throw new BadImageException("is a corrupt TIFF: its pages have no end");
      }
      at = directory(at);
      if ((tag(SUBFILE, 0) & NO_PAGE) == 0) {
        Page page = page(index);
        needed += needed(page);
        pages.add(page);
      }
    }
    if (pages.isEmpty()) {
      throw new BadImageException("is a TIFF without a page");
    }
    if (needed > file.limit()) {
      throw new BadImageException(
          "is a truncated TIFF: its " + file.limit() + " bytes cannot hold its pixels");
    }
    return pages;
  }

  private int place(long at) {
    if (at < 0 || at > file.limit()) {
      throw new IndexOutOfBoundsException();
    }
    return (int) at;
  }

  /** Reads the tags of a directory and says where the next one is. */
  private long directory(long from) throws BadImageException {
    tags.clear();
    int at = place(from);
    long entries = big ? file.getLong(at) : file.getChar(at);
    int entryBytes = big ? 20 : 12;
    at += big ? 8 : 2;
    if (entries < 0 || entries > (file.limit() - at) / entryBytes) {
      throw new IndexOutOfBoundsException();
    }
    for (int i = 0; i < entries; i++, at += entryBytes) {
      entry(at);
    }
    return big ? file.getLong(at) : Integer.toUnsignedLong(file.getInt(at));
  }

  private void entry(int at) throws BadImageException {
    int type = file.getChar(at + 2);
    long count = big ? file.getLong(at + 4) : Integer.toUnsignedLong(file.getInt(at + 4));
    int value = at + (big ? 12 : 8);
    int bytes =
        switch (type) {
          case 1, 2, 6, 7 -> 1;
          case 3, 8 -> 2;
          case 4, 9, 11, 13 -> 4;
          case 5, 10, 12, 16, 17, 18 -> 8;
          default -> throw new BadImageException("is a corrupt TIFF: it has a tag of no type");
        };
    if (count < 0 || count > file.limit() / bytes) {
      throw new IndexOutOfBoundsException();
    }
    if (count * bytes > (big ? 8 : 4)) {
      value = place(big ? file.getLong(value) : Integer.toUnsignedLong(file.getInt(value)));
      if (count * bytes > file.limit() - value) {
        throw new IndexOutOfBoundsException();
      }
    }
    int tag = file.getChar(at);
    if (tag >= SUBFILE && tag <= FORMAT && (type == 1 || type == 3 || type == 4 || type == 16)) {
      long[] values = new long[(int) count];
      for (int i = 0; i < count; i++) {
        values[i] = number(type, value + i * bytes);
      }
      tags.put(tag, values);
    }
  }

  private long number(int type, int at) {
    return switch (type) {
      case 1 -> file.get(at) & 255;
      case 3 -> file.getChar(at);
      case 4 -> Integer.toUnsignedLong(file.getInt(at));
      default -> file.getLong(at);
    };
  }

  /** A tag's first number. */
  private long tag(int tag, long without) {
    long[] values = tags.get(tag);
    return values == null || values.length == 0 ? without : values[0];
  }

  private Page page(int index) throws BadImageException {
    ImageFileDecoder.requireReasonable(tag(HEIGHT, 0), tag(WIDTH, 0));
    long samples = tag(SAMPLES, 1);
    if (samples < 1 || samples > 1024) {
      throw new BadImageException("is a TIFF of " + samples + " samples a pixel; 1024 are read");
    }
    for (int tag : new int[] {BITS, FORMAT}) {
      for (long value : tags.getOrDefault(tag, new long[0])) {
        if (value != tag(tag, 0) || value < 0 || value > 64) {
          throw new BadImageException("is a TIFF whose samples are of different kinds");
        }
      }
    }
    long[] extra = tags.getOrDefault(EXTRA, new long[0]);
    long alpha = extra.length == 1 && (extra[0] == 1 || extra[0] == 2) ? extra[0] : 0;
    return new Page(
        index,
        (int) tag(HEIGHT, 0),
        (int) tag(WIDTH, 0),
        (int) samples,
        (int) tag(BITS, 1),
        (int) tag(FORMAT, 1),
        Math.clamp(tag(PHOTOMETRIC, -1), -1, Character.MAX_VALUE),
        (int) alpha,
        Math.clamp(tag(ORIENTATION, 1), 1, 9));
  }

  /** Bytes that a file must have at least to hold a page's pixels. */
  private long needed(Page page) throws BadImageException {
    boolean tiled = tags.containsKey(TILE_OFFSETS);
    long[] offsets = tags.getOrDefault(tiled ? TILE_OFFSETS : OFFSETS, new long[0]);
    long[] counts = tags.getOrDefault(tiled ? TILE_COUNTS : COUNTS, new long[0]);
    if (offsets.length == 0 || offsets.length != counts.length) {
      throw new BadImageException("is a corrupt TIFF: it does not say where its pixels are");
    }
    for (int i = 0; i < offsets.length; i++) {
      if (counts[i] < 0 || counts[i] > file.limit() - place(offsets[i])) {
        throw new IndexOutOfBoundsException();
      }
    }
    long width = page.width;
    long height = page.height;
    if (tiled) {
      long tileWidth = tag(TILE_WIDTH, 0);
      long tileHeight = tag(TILE_HEIGHT, 0);
      ImageFileDecoder.requireReasonable(tileHeight, tileWidth);
      width = Math.ceilDiv(width, tileWidth) * tileWidth;
      height = Math.ceilDiv(height, tileHeight) * tileHeight;
      ImageFileDecoder.requireReasonable(height, width);
    }
    return width * height * page.samples * page.bits / 8 / mostInflation();
  }

  /** How many bytes, at most, a compression makes of one. */
  private long mostInflation() throws BadImageException {
    int compression = Math.clamp(tag(COMPRESSION, 1), 0, 1 << 16);
    return switch (compression) {
      case 1 -> 1;
      // Faxes: a white row is a bit.
      case 2, 3, 4 -> 1 << 10;
      // LZW, deflate and JPEG.
      case 5 -> 2560;
      case 7 -> 1 << 11;
      case 8, 32946 -> 1032;
      // PackBits.
      case 32773 -> 64;
      default ->
          throw new BadImageException(
              "is a TIFF of compression "
                  + compression
                  + "; none, LZW, deflate, PackBits, JPEG and those of faxes are read");
    };
  }
}
