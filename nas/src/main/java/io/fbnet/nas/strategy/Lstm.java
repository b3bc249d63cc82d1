package io.fbnet.nas.strategy;

/**
 * An LSTM that reads the candidate taken last, as a learnt vector, and gives the next layer's
 * logits by a matrix of that layer. One flat array holds, one after the other: the vectors [1 +
 * candidates][width], of which the first stands for the beginning; the gates' matrix [4 *
 * width][width of the input + width of the state] and bias [4 * width], in the order input, forget,
 * output, new; and for every layer a matrix [candidates][width] and a bias [candidates].
 */
final class Lstm implements Policy {
  private static final double LARGEST = 0.1;
  private static final double REMEMBER = 1;

  private final int width;
  private final int layers;
  private final int[] candidates;
  private final int gates;
  private final int biases;
  private final int[] heads;
  private final double[] parameters;

  /** Small random numbers; a forget gate that is rather open. */
  Lstm(Problem problem, int width, Draws draws) {
    this.width = width;
    layers = problem.layers();
    candidates = new int[layers];
    int most = 0;
    for (int l = 0; l < layers; l++) {
      candidates[l] = problem.candidates(l);
      most = Math.max(most, candidates[l]);
    }
    gates = (1 + most) * width;
    biases = gates + 8 * width * width;
    heads = new int[layers + 1];
    heads[0] = biases + 4 * width;
    for (int l = 0; l < layers; l++) {
      heads[l + 1] = heads[l] + candidates[l] * (width + 1);
    }
    parameters = new double[heads[layers]];
    for (int i = 0; i < parameters.length; i++) {
      parameters[i] = LARGEST * (2 * draws.number() - 1);
    }
    for (int i = 0; i < width; i++) {
      parameters[biases + width + i] += REMEMBER;
    }
  }

  @Override
  public double[] parameters() {
    return parameters;
  }

  @Override
  public Walk begin() {
    return new Steps();
  }

  private final class Steps implements Walk {
    /** Which vector each layer reads. */
    private final int[] read = new int[layers + 1];

    /** Activations of the gates, [layer][4 * width], and what they make. */
    private final double[][] gate = new double[layers][4 * width];

    private final double[][] cell = new double[layers + 1][width];
    private final double[][] hidden = new double[layers + 1][width];
    private int layer;
    private boolean known;

    @Override
    public double[] logits() {
      if (!known) {
        step();
        known = true;
      }
      double[] logits = new double[candidates[layer]];
      for (int k = 0; k < logits.length; k++) {
        int row = heads[layer] + k * width;
        double sum = parameters[heads[layer] + logits.length * width + k];
        for (int i = 0; i < width; i++) {
          sum += parameters[row + i] * hidden[layer + 1][i];
        }
        logits[k] = sum;
      }
      return logits;
    }

    private void step() {
      double[] a = gate[layer];
      int x = read[layer] * width;
      for (int g = 0; g < a.length; g++) {
        int row = gates + g * 2 * width;
        double sum = parameters[biases + g];
        for (int i = 0; i < width; i++) {
          sum += parameters[row + i] * parameters[x + i];
          sum += parameters[row + width + i] * hidden[layer][i];
        }
        a[g] = g < 3 * width ? 1 / (1 + Math.exp(-sum)) : Math.tanh(sum);
      }
      for (int i = 0; i < width; i++) {
        double c = a[width + i] * cell[layer][i] + a[i] * a[3 * width + i];
        cell[layer + 1][i] = c;
        hidden[layer + 1][i] = a[2 * width + i] * Math.tanh(c);
      }
    }

    @Override
    public void take(int candidate) {
      logits();
      layer++;
      read[layer] = 1 + candidate;
      known = false;
    }

    @Override
    public void backward(double[][] slopes, double[] gradient) {
      double[] byHidden = new double[width];
      double[] byCell = new double[width];
      for (int l = layers - 1; l >= 0; l--) {
        head(l, slopes[l], byHidden, gradient);
        byHidden = gates(l, byHidden, byCell, gradient);
      }
    }

    private void head(int l, double[] slopes, double[] byHidden, double[] gradient) {
      for (int k = 0; k < slopes.length; k++) {
        int row = heads[l] + k * width;
        gradient[heads[l] + slopes.length * width + k] += slopes[k];
        for (int i = 0; i < width; i++) {
          gradient[row + i] += slopes[k] * hidden[l + 1][i];
          byHidden[i] += slopes[k] * parameters[row + i];
        }
      }
    }

    /** Turns {@code byCell} into that of the layer before; gives that of its hidden state. */
    private double[] gates(int l, double[] byHidden, double[] byCell, double[] gradient) {
      double[] a = gate[l];
      double[] bySum = new double[4 * width];
      for (int i = 0; i < width; i++) {
        double in = a[i];
        double forget = a[width + i];
        double out = a[2 * width + i];
        double fresh = a[3 * width + i];
        double squashed = Math.tanh(cell[l + 1][i]);
        double c = byCell[i] + byHidden[i] * out * (1 - squashed * squashed);
        bySum[i] = c * fresh * in * (1 - in);
        bySum[width + i] = c * cell[l][i] * forget * (1 - forget);
        bySum[2 * width + i] = byHidden[i] * squashed * out * (1 - out);
        bySum[3 * width + i] = c * in * (1 - fresh * fresh);
        byCell[i] = c * forget;
      }
      double[] before = new double[width];
      int x = read[l] * width;
      for (int g = 0; g < bySum.length; g++) {
        int row = gates + g * 2 * width;
        gradient[biases + g] += bySum[g];
        for (int i = 0; i < width; i++) {
          gradient[row + i] += bySum[g] * parameters[x + i];
          gradient[row + width + i] += bySum[g] * hidden[l][i];
          gradient[x + i] += bySum[g] * parameters[row + i];
          before[i] += bySum[g] * parameters[row + width + i];
        }
      }
      return before;
    }
  }
}
