package io.fbnet.nas.data;

/** How the pixels of a data set are kept, from the decoder to the batch. */
public enum PixelType {
  /** Unsigned bytes; 255 is 1. They travel to the device as they are and are normalised there. */
  U8(1),

  /**
   * 32-bit floats, little-endian: what has more than eight bits keeps them. Images and integers lie
   * from 0 to 1, arrays of floats are taken as they are. The host crops, mirrors and normalises
   * them, so four times as many bytes travel.
   */
  F32(Float.BYTES);

  private final int bytes;

  PixelType(int bytes) {
    this.bytes = bytes;
  }

  /** {@return bytes that a pixel takes in each channel} */
  public int bytes() {
    return bytes;
  }
}
