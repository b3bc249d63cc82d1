package io.fbnet.engine.cpu;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.foreign.DnnlPrimitive;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Steps that run one after the other, and the primitives they use. */
final class Chain implements Kernel {
  private final List<DnnlPrimitive> primitives = new ArrayList<>();
  private final boolean packOnce;
  private Runnable[] packs = {};
  private Runnable[] steps = {};
  private boolean packed;

  /**
   * An empty chain.
   *
   * @param packOnce whether parameters never change, so that packing them once is enough
   */
  Chain(boolean packOnce) {
    this.packOnce = packOnce;
  }

  /** Closes a primitive with the chain. */
  Chain own(DnnlPrimitive primitive) {
    primitives.add(primitive);
    return this;
  }

  /** Adds a step that brings parameters into a primitive's format. */
  Chain pack(Runnable step) {
    packs = append(packs, step);
    return this;
  }

  Chain then(Runnable step) {
    steps = append(steps, step);
    return this;
  }

  private static Runnable[] append(Runnable[] to, Runnable step) {
    Runnable[] longer = Arrays.copyOf(to, to.length + 1);
    longer[to.length] = step;
    return longer;
  }

  @Override
  public void launch() {
    if (!packed) {
      for (Runnable pack : packs) {
        pack.run();
      }
      packed = packOnce;
    }
    for (Runnable step : steps) {
      step.run();
    }
  }

  @Override
  public void close() {
    primitives.forEach(DnnlPrimitive::close);
  }
}
