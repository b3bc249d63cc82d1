package io.fbnet.nas.strategy;

/** A distribution over networks that is drawn from layer by layer. */
interface Policy {
  /** The numbers that are learnt; changing them changes the policy. */
  double[] parameters();

  /** A way through the layers, under the parameters as they are. */
  Walk begin();

  /** One network, taken layer by layer, and the way back. */
  interface Walk {
    /** The logits of the layer that comes next, one a candidate. */
    double[] logits();

    /** Takes a candidate of that layer. */
    void take(int candidate);

    /**
     * Adds to the gradient of the parameters what follows from that of the logits.
     *
     * @param slopes of something by the logits, [layer][candidate], of all layers
     * @param gradient of the same by the parameters
     */
    void backward(double[][] slopes, double[] gradient);
  }
}
