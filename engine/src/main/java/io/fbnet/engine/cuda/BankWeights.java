package io.fbnet.engine.cuda;

import io.fbnet.engine.cuda.CudaProduct.Operand;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Value;
import io.fbnet.foreign.CublasLtMatmul;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;
import java.util.function.IntUnaryOperator;

/**
 * The weights of a bank as its kernels read them, packed at the start of each step, and the way of
 * their gradients back. Rows of the first product are the channels behind the shuffle, so that
 * nothing need be shuffled; what a grouped convolution does not connect is a zero that nothing
 * writes.
 *
 * <p>The last convolutions are one matrix of all outputs by all channels, with the candidates'
 * blocks on its diagonal, while computing the zeros takes no longer than the calls that it saves;
 * above that, a matrix each.
 */
final class BankWeights {
  /**
   * Multiply-adds that a GPU does in the time of the calls that one product for all saves: 25
   * microseconds at 400 TFLOP/s, against eight calls of three.
   */
  private static final double MOST_DENSE = 5e9;

  /** Numbers of a norm that lie apart: gamma, beta, running mean, running variance. */
  private static final int NORM_NUMBERS = 4;

  private final CudaContext context;
  private final LayerBank bank;
  private final Function<Value, MemorySegment> memory;
  private final CublasLtMatmul.Type type;
  final boolean dense;
  private final MemorySegment expand;
  private final MemorySegment project;
  private final MemorySegment depthwise;

  BankWeights(CudaContext context, LayerBank bank, Function<Value, MemorySegment> memory) {
    this.context = context;
    this.bank = bank;
    this.memory = memory;
    type = context.bf16 ? CublasLtMatmul.Type.BF16 : CublasLtMatmul.Type.F32;
    long pixels = bank.mix().y().shape().elements() / bank.outputs();
    dense = (double) pixels * bank.width() * bank.allOutputs() <= MOST_DENSE;
    expand = context.own((long) bank.width() * channels() * type.bytes());
    long cells = (long) bank.width() * (dense ? bank.allOutputs() : bank.outputs());
    project = context.own(cells * type.bytes());
    depthwise = context.own(Float.BYTES * depthwiseElements(bank.candidates().size()));
    for (int i = 0; i < bank.candidates().size(); i++) {
      BankCandidate c = bank.candidates().get(i);
      pack(expand, expandBlocks(i), c.expand().w());
      pack(project, projectBlocks(i), c.project().w());
      MemorySegment w = memory.apply(c.depthwise().w());
      long elements = c.depthwise().w().shape().elements();
      context
          .packed()
          .add(w, depthwise.asSlice(Float.BYTES * depthwiseElements(i)), elements, false);
    }
  }

  /**
   * Elements of a candidate's weights that lie side by side in the packed form too.
   *
   * @param place in the packed form
   * @param at in the weights
   * @param elements of both
   */
  private record Block(long place, long at, int elements) {}

  private int channels() {
    return bank.x().shape().get(1);
  }

  /** Elements of the depthwise weights before a candidate's. */
  private long depthwiseElements(int candidate) {
    return bank.candidates().subList(0, candidate).stream()
        .mapToLong(c -> c.depthwise().w().shape().elements())
        .sum();
  }

  private void pack(MemorySegment to, List<Block> blocks, Value weights) {
    MemorySegment from = memory.apply(weights);
    for (Block block : blocks) {
      context
          .packed()
          .add(
              from.asSlice(block.at() * Float.BYTES),
              to.asSlice(block.place() * type.bytes()),
              block.elements(),
              context.bf16);
    }
  }

  private List<Block> expandBlocks(int candidate) {
    BankCandidate c = bank.candidates().get(candidate);
    int columns = c.expand().w().shape().get(1);
    int outputsOfGroup = c.width() / c.expand().groups();
    List<Block> blocks = new ArrayList<>();
    for (int channel = 0; channel < c.width(); channel++) {
      int row = c.shuffled(channel);
      long place = (long) (bank.first(candidate) + channel) * channels();
      blocks.add(
          new Block(
              place + (long) (row / outputsOfGroup) * columns, (long) row * columns, columns));
    }
    return blocks;
  }

  private List<Block> projectBlocks(int candidate) {
    return projectBlocks(candidate, projectPlace(candidate), projectMatrix(candidate).leading());
  }

  /** Those of a candidate's matrix that begins at {@code first}, with rows so far apart. */
  private List<Block> projectBlocks(int candidate, long first, long leading) {
    BankCandidate c = bank.candidates().get(candidate);
    int columns = c.project().w().shape().get(1);
    int outputsOfGroup = bank.outputs() / c.project().groups();
    List<Block> blocks = new ArrayList<>();
    for (int row = 0; row < bank.outputs(); row++) {
      long place = first + row * leading + (long) (row / outputsOfGroup) * columns;
      blocks.add(new Block(place, (long) row * columns, columns));
    }
    return blocks;
  }

  /** All channels by channels of x. */
  Operand expand() {
    return new Operand(expand, type, bank.width(), channels(), channels(), 0);
  }

  /** All outputs by all channels; only where {@link #dense}. */
  Operand project() {
    return new Operand(project, type, bank.allOutputs(), bank.width(), bank.width(), 0);
  }

  private long projectPlace(int candidate) {
    return dense
        ? (long) candidate * bank.outputs() * bank.width() + bank.first(candidate)
        : (long) bank.outputs() * bank.first(candidate);
  }

  /** A candidate's outputs by its channels. */
  Operand projectMatrix(int candidate) {
    int width = bank.candidates().get(candidate).width();
    return new Operand(
        project.asSlice(projectPlace(candidate) * type.bytes()),
        type,
        bank.outputs(),
        width,
        dense ? bank.width() : width,
        0);
  }

  /** f32 [channels, 1, kernel, kernel] of some neighbouring channels. */
  MemorySegment depthwise(LayerBank.Range range) {
    return depthwise.asSlice(depthwisePlace(range));
  }

  /** Bytes before the weights of some neighbouring channels. */
  long depthwisePlace(LayerBank.Range range) {
    int candidate = 0;
    while (bank.first(candidate) < range.first()) {
      candidate++;
    }
    return Float.BYTES * depthwiseElements(candidate);
  }

  // Gradients

  /** Whether a candidate's last convolution has its gradient where its own dy^T x goes at once. */
  boolean direct(int candidate) {
    return !dense && bank.candidates().get(candidate).project().groups() == 1;
  }

  /**
   * Where dy^T x of the first convolutions goes, f32, before its blocks go to the gradients.
   *
   * @param rows of it
   */
  MemorySegment expandProduct(int rows) {
    return context.scratch("expand weights", (long) Float.BYTES * rows * channels());
  }

  /**
   * What a row of the first product is in the gradients.
   *
   * @param to its first column there, f32
   * @param column of the product
   * @param columns from there on
   */
  record Row(MemorySegment to, int column, int columns) {}

  /** All rows of the first product. */
  List<Row> expandRows() {
    List<Row> rows = new ArrayList<>();
    for (int i = 0; i < bank.candidates().size(); i++) {
      MemorySegment to = memory.apply(bank.candidates().get(i).gradient().expandWeights().dw());
      for (Block b : expandBlocks(i)) {
        int column = Math.toIntExact(b.place() % channels());
        rows.add(new Row(to.asSlice(Float.BYTES * b.at()), column, b.elements()));
      }
    }
    return rows;
  }

  /** The same of the last convolutions. */
  MemorySegment projectProduct() {
    return context.scratch("project weights", Float.BYTES * project.byteSize() / type.bytes());
  }

  /** Where the depthwise gradients go, side by side as the packed weights are. */
  MemorySegment depthwiseProduct() {
    return context.scratch("depthwise weights", depthwise.byteSize());
  }

  /** A candidate's own dy^T x: its part of {@link #projectProduct}, or its gradient. */
  Operand projectGradient(int candidate) {
    BankCandidate c = bank.candidates().get(candidate);
    MemorySegment to =
        direct(candidate)
            ? memory.apply(c.gradient().projectWeights().dw())
            : projectProduct().asSlice(Float.BYTES * projectPlace(candidate));
    return new Operand(to, CublasLtMatmul.Type.F32, bank.outputs(), c.width(), c.width(), 0);
  }

  /**
   * The copies from the three products to the gradients of all candidates.
   *
   * @param folded whether those of the first product are there already
   * @param projected what has those of the last ones in parts, null where they are whole
   */
  CudaRuns gradients(boolean folded, ProjectGradient projected) {
    CudaRuns runs = new CudaRuns();
    for (int i = 0; i < bank.candidates().size(); i++) {
      BankCandidate.Gradient g = bank.candidates().get(i).gradient();
      if (!folded) {
        gather(runs, expandProduct(bank.width()), expandBlocks(i), g.expandWeights());
      }
      if (projected != null) {
        add(runs, projected.weights(i), i, g.projectWeights());
      } else if (!direct(i)) {
        gather(runs, projectProduct(), projectBlocks(i), g.projectWeights());
      }
      Value dw = g.depthwiseWeights().dw();
      runs.add(
          depthwiseProduct().asSlice(Float.BYTES * depthwiseElements(i)),
          memory.apply(dw),
          dw.shape().elements(),
          false);
    }
    return runs;
  }

  private void add(
      CudaRuns runs,
      ProjectGradient.Parts parts,
      int candidate,
      Op.ConvolutionBackwardWeights gradient) {
    MemorySegment to = memory.apply(gradient.dw());
    BankCandidate c = bank.candidates().get(candidate);
    if (c.project().groups() == 1) {
      long elements = gradient.dw().shape().elements();
      runs.addSum(parts.first(), parts.parts(), parts.apart(), to, elements);
      return;
    }
    for (Block block : projectBlocks(candidate, 0, c.width())) {
      runs.addSum(
          parts.first().asSlice(Float.BYTES * block.place()),
          parts.parts(),
          parts.apart(),
          to.asSlice(Float.BYTES * block.at()),
          block.elements());
    }
  }

  private void gather(
      CudaRuns runs,
      MemorySegment product,
      List<Block> blocks,
      Op.ConvolutionBackwardWeights gradient) {
    MemorySegment to = memory.apply(gradient.dw());
    for (Block block : blocks) {
      runs.add(
          product.asSlice(Float.BYTES * block.place()),
          to.asSlice(Float.BYTES * block.at()),
          block.elements(),
          false);
    }
  }

  // Norms

  /**
   * Where a norm's numbers lie.
   *
   * @param places as {@code norm.h} reads them
   * @param gamma what the places of gamma and beta count from
   * @param running what those of the running statistics count from, null where they do not move
   */
  record Places(MemorySegment places, MemorySegment gamma, MemorySegment running) {}

  Places expandNorm() {
    return places(
        BankCandidate::expandNorm, BankCandidate::width, c -> channel -> c.shuffled(channel));
  }

  Places depthwiseNorm() {
    return places(BankCandidate::depthwiseNorm, BankCandidate::width, c -> channel -> channel);
  }

  Places projectNorm() {
    return places(BankCandidate::projectNorm, c -> bank.outputs(), c -> channel -> channel);
  }

  private Places places(
      Function<BankCandidate, Op.BatchNorm> norm,
      Function<BankCandidate, Integer> channels,
      Function<BankCandidate, IntUnaryOperator> order) {
    int all = bank.candidates().stream().mapToInt(channels::apply).sum();
    Op.BatchNorm first = norm.apply(bank.any());
    boolean moves = first.momentum() != null;
    MemorySegment gamma = memory.apply(first.gamma());
    MemorySegment running = moves ? memory.apply(first.runningMean()) : null;
    int[] table = new int[NORM_NUMBERS * all];
    int at = 0;
    for (BankCandidate c : bank.candidates()) {
      Op.BatchNorm bn = norm.apply(c);
      Value[] numbers = {bn.gamma(), bn.beta(), bn.runningMean(), bn.runningVariance()};
      for (int channel = 0; channel < channels.apply(c); channel++) {
        int own = order.apply(c).applyAsInt(channel);
        for (int i = 0; i < (moves ? NORM_NUMBERS : 2); i++) {
          long place = memory.apply(numbers[i]).address() - (i < 2 ? gamma : running).address();
          table[i * all + at] = Math.toIntExact(place / Float.BYTES + own);
        }
        at++;
      }
    }
    return new Places(context.upload(table), gamma, running);
  }
}
