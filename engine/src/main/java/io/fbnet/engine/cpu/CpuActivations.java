package io.fbnet.engine.cpu;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.fbnet.engine.graph.Op;
import java.lang.foreign.MemorySegment;

/** Activations that no batch norm applies, and what squeeze-and-excitation does to images. */
final class CpuActivations {
  private CpuActivations() {}

  static Piece forward(PieceMaker maker, Op.Pointwise p) {
    Images x = maker.images().apply(p.x());
    Images y = maker.images().apply(p.y());
    Activations loops = maker.context().imageLoops.activations();
    return new Piece.ByBlock(maker.context().layout(p.x())) {
      @Override
      void blocks(int image, int first, int last, int from, int thread) {
        long row = first * layout.rowBytes();
        loops.forward(
            p.function(),
            x.place(thread),
            x.at(image, from) + row,
            y.place(thread),
            y.at(image, from) + row,
            (last - first) * layout.rowBytes());
      }
    };
  }

  static Piece backward(PieceMaker maker, Op.PointwiseBackward p) {
    Images x = maker.images().apply(p.x());
    Images dy = maker.images().apply(p.dy());
    Images dx = maker.images().apply(p.dx());
    Activations loops = maker.context().imageLoops.activations();
    return new Piece.ByBlock(maker.context().layout(p.x())) {
      @Override
      void blocks(int image, int first, int last, int from, int thread) {
        long row = first * layout.rowBytes();
        loops.backward(
            p.function(),
            x.place(thread),
            x.at(image, from) + row,
            dy.place(thread),
            dy.at(image, from) + row,
            dx.place(thread),
            dx.at(image, from) + row,
            (last - first) * layout.rowBytes());
      }
    };
  }

  static Piece scaleChannels(PieceMaker maker, Op.ScaleChannels s) {
    Images x = maker.images().apply(s.x());
    Images y = maker.images().apply(s.y());
    MemorySegment factors = maker.memory().apply(s.s());
    Loops loops = maker.context().imageLoops;
    Activations activations = loops.activations();
    float[][] ofThreads = new float[maker.context().team.threads()][loops.lanes()];
    return new Piece.ByBlock(maker.context().layout(s.x())) {
      @Override
      void blocks(int image, int first, int last, int from, int thread) {
        float[] ofBlock = ofThreads[thread];
        for (int b = first; b < last; b++) {
          int channel = b * layout.lanes();
          for (int i = 0; i < layout.lanes(); i++) {
            ofBlock[i] =
                channel + i < layout.channels()
                    ? factors.getAtIndex(JAVA_FLOAT, (long) image * layout.channels() + channel + i)
                    : 0;
          }
          long row = b * layout.rowBytes();
          activations.scale(
              x.place(thread),
              x.at(image, from) + row,
              y.place(thread),
              y.at(image, from) + row,
              layout.pixels(),
              ofBlock);
        }
      }
    };
  }

  static Piece backwardFactors(PieceMaker maker, Op.ScaleChannelsBackwardFactors s) {
    Images x = maker.images().apply(s.x());
    Images dy = maker.images().apply(s.dy());
    MemorySegment ds = maker.memory().apply(s.ds());
    Loops loops = maker.context().imageLoops;
    Activations activations = loops.activations();
    float[][] ofThreads = new float[maker.context().team.threads()][loops.lanes()];
    return new Piece.ByBlock(maker.context().layout(s.x())) {
      @Override
      void blocks(int image, int first, int last, int from, int thread) {
        float[] sums = ofThreads[thread];
        for (int b = first; b < last; b++) {
          long row = b * layout.rowBytes();
          activations.dot(
              x.place(thread),
              x.at(image, from) + row,
              dy.place(thread),
              dy.at(image, from) + row,
              layout.pixels(),
              sums);
          int channel = b * layout.lanes();
          int channels = Math.min(layout.lanes(), layout.channels() - channel);
          MemorySegment.copy(
              sums,
              0,
              ds,
              JAVA_FLOAT,
              ((long) image * layout.channels() + channel) * Float.BYTES,
              channels);
        }
      }
    };
  }
}
