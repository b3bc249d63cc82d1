package io.fbnet.engine.cpu;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.fbnet.engine.backend.Communicator;
import io.fbnet.engine.backend.RankMeans;
import io.fbnet.engine.graph.Op;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/** The sums over all images that a batch norm's gradient needs, and the gradients of its scale. */
final class NormGradientSums extends ChannelSums {
  private final CpuNorm.Scale scale;
  private final boolean relu;
  private final Communicator ranks;
  private final CpuContext context;
  private final Images x;
  private final Images dy;
  private final MemorySegment dgamma;
  private final MemorySegment dbeta;
  private final CpuNorm.Coefficients coefficients;
  private final float[] dgammas;
  private final float[] dbetas;

  NormGradientSums(PieceMaker maker, Op.BatchNormBackward bn) {
    super(maker.context().layout(bn.x()), maker.chunks().shares());
    context = maker.context();
    relu = bn.relu();
    ranks = bn.overRanks() ? context.backend.communicator() : Communicator.alone();
    scale =
        new CpuNorm.Scale(maker, bn.gamma(), bn.beta(), bn.mean(), bn.inverseDeviation(), layout);
    x = maker.images().apply(bn.x());
    dy = maker.images().apply(bn.dy());
    dgamma = bn.dgamma() == null ? null : maker.memory().apply(bn.dgamma());
    dbeta = bn.dbeta() == null ? null : maker.memory().apply(bn.dbeta());
    coefficients = context.coefficients(bn, layout.paddedChannels());
    dgammas = new float[layout.channels()];
    dbetas = new float[layout.channels()];
  }

  @Override
  public void begin() {
    super.begin();
    scale.read();
  }

  @Override
  void add(int image, int block, int from, int thread, float[] acc) {
    context.imageLoops.backwardMoments(
        x.place(thread),
        x.at(image, from) + block * layout.rowBytes(),
        dy.place(thread),
        dy.at(image, from) + block * layout.rowBytes(),
        layout.pixels(),
        scale.means,
        scale.scales,
        scale.betas,
        block * layout.lanes(),
        relu,
        acc);
  }

  @Override
  public void finish() {
    for (int t = 1; t < first.length; t++) {
      addTo(first[0], first[t]);
      addTo(second[0], second[t]);
    }
    // The gradients of the scale are of this rank's images: they are averaged with all others.
    scaleGradients();
    RankMeans.of(ranks, first[0], second[0]);
    combine((double) layout.batch() * layout.pixels());
    if (dgamma != null) {
      MemorySegment.copy(dgammas, 0, dgamma, JAVA_FLOAT, 0, dgammas.length);
    }
    if (dbeta != null) {
      MemorySegment.copy(dbetas, 0, dbeta, JAVA_FLOAT, 0, dbetas.length);
    }
  }

  private static void addTo(double[] total, double[] part) {
    Arrays.setAll(total, c -> total[c] + part[c]);
  }

  private void scaleGradients() {
    for (int c = 0; c < dgammas.length; c++) {
      dgammas[c] = (float) (second[0][c] * scale.inverses[c]);
      dbetas[c] = (float) first[0][c];
    }
  }

  private void combine(double count) {
    float[] c0 = coefficients.c0();
    float[] c1 = coefficients.c1();
    for (int c = 0; c < dgammas.length; c++) {
      double inv = scale.inverses[c];
      c0[c] = (float) (first[0][c] / count);
      c1[c] = (float) (second[0][c] * inv * inv / count);
    }
  }
}
