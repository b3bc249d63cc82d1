package io.fbnet.nas.data;

/** The last word of a Philox counter: keeps draws for different ends apart under one seed. */
final class DrawPurpose {
  static final int ORDER_AND_AUGMENTATION = 0x6f726465;

  /** And the ten after it, one an attempt. */
  static final int RESIZED_CROP = 0x63726f70;

  static final int JITTER = 0x6a697474;

  /** And those after it, one an operation. */
  static final int RAND_AUGMENT = 0x72616e64;

  static final int CUTOUT = 0x6375746f;

  /** And those after it, one an attempt. */
  static final int MIXUP = 0x6d697875;

  static final int SHARD_ORDER = 0x73686172;
  static final int CLASS_ORDER = 0x636c6173;
  static final int ORDER_IN_CLASS = 0x696e636c;

  /** Order and augmentation of an image that the epoch has had so many times before, added. */
  static final int REPEATED = 0x72000000;

  static final int SPLIT = 0x73706c69;
  static final int HOLD_OUT = 0x686f6c64;
  static final int SHAPES = 0x73686170;
  static final int SHAPES_NOISE = 0x6e6f6973;

  private DrawPurpose() {}
}
