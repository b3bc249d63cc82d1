package io.fbnet.nas.fuzz;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.SplittableRandom;

/** Damages safetensors files: mostly their JSON, whose length is then said as it is. */
final class TensorsMutator extends Mutator {
  private final TextMutator headers;

  TensorsMutator(List<byte[]> valid) {
    super(valid);
    headers = new TextMutator(valid.stream().map(TensorsMutator::header).toList());
  }

  private static int headerBytes(byte[] file) {
    return (int) ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN).getLong();
  }

  private static String header(byte[] file) {
    return new String(file, 8, headerBytes(file), StandardCharsets.UTF_8);
  }

  @Override
  public byte[] next(SplittableRandom random) {
    if (random.nextInt(4) == 0) {
      return super.next(random);
    }
    byte[] header = headers.next(random);
    byte[] file = any(random);
    int data = 8 + headerBytes(file);
    return ByteBuffer.allocate(8 + header.length + file.length - data)
        .order(ByteOrder.LITTLE_ENDIAN)
        .putLong(header.length)
        .put(header)
        .put(file, data, file.length - data)
        .array();
  }
}
