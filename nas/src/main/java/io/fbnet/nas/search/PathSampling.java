package io.fbnet.nas.search;

/** Which paths through the supernet train its weights in a step. */
public enum PathSampling {
  /** One path, in each layer every candidate as likely as any other (SPOS, arXiv 1904.00420). */
  UNIFORM,
  /**
   * As many paths as a layer has candidates, so that each of them is taken once a step (FairNAS,
   * arXiv 1907.01845); where a layer allows fewer, some are taken again.
   */
  FAIR,
  /**
   * The path of the most multiply-adds, that of the least, and two uniform ones (the sandwich rule,
   * arXiv 1903.05134); all but the first learn from what the first says of the images.
   */
  SANDWICH,
  /** One path drawn from theta (GDAS, arXiv 1910.04465). */
  THETA,
  /** One path drawn from theta and one uniform one (bi-sampling, TF-NAS, arXiv 2008.05314). */
  THETA_AND_UNIFORM;

  /** {@return whether a step's first path teaches the others} */
  public boolean distils() {
    return this == SANDWICH;
  }

  /** {@return whether the paths depend on theta} */
  public boolean readsTheta() {
    return this == THETA || this == THETA_AND_UNIFORM;
  }
}
