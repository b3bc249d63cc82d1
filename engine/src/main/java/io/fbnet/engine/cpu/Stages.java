package io.fbnet.engine.cpu;

import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Value;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Predicate;
import java.util.stream.Stream;

/**
 * Groups operations into stages. A training step is bound by memory: most operations read whole
 * activations and do little with them. Within a stage a few images pass through all parts while
 * they are in cache, and what lies between the parts is never written to memory.
 *
 * <p>A stage ends where a part waits for a sum over all images (a batch norm its statistics). What
 * is cheap to make from values that are kept anyway, such as a normalised image from the one before
 * the norm, is made anew in each stage that reads it, and kept nowhere.
 */
final class Stages {
  /** Values with more readers are made once and kept. */
  private static final int MOST_MAKINGS = 4;

  private final Set<Value> kept;
  private final Predicate<Op> byImage;
  private final boolean fuse;
  private final Map<Value, Integer> readers = new HashMap<>();
  private final Map<Value, Part> recipes = new HashMap<>();
  private final List<List<Part>> stages = new ArrayList<>();
  private List<Part> current = new ArrayList<>();

  private Stages(List<Op> ops, Set<Value> kept, Predicate<Op> byImage, boolean fuse) {
    this.kept = new HashSet<>(kept);
    this.byImage = byImage;
    this.fuse = fuse && !changesWhatImagesRead(ops);
    for (Op op : ops) {
      Set.copyOf(op.inputs()).forEach(v -> readers.merge(v, 1, Integer::sum));
      if (!byImage.test(op)) {
        this.kept.addAll(op.inputs());
      }
    }
  }

  /**
   * The stages of each section of a step.
   *
   * @param sections operations in an order in which they may run; no stage has some of two
   * @param kept values that must lie whole in memory
   * @param byImage whether an operation treats images one by one
   * @param fuse whether more than one operation may make a stage
   */
  static List<List<Stage>> of(
      List<List<Op>> sections, Set<Value> kept, Predicate<Op> byImage, boolean fuse) {
    Stages grouping =
        new Stages(sections.stream().flatMap(List::stream).toList(), kept, byImage, fuse);
    List<Integer> ends = new ArrayList<>();
    for (List<Op> ops : sections) {
      ops.forEach(grouping::add);
      grouping.close();
      ends.add(grouping.stages.size());
    }
    List<Stage> stages = grouping.result();
    List<List<Stage>> result = new ArrayList<>();
    int from = 0;
    for (int end : ends) {
      result.add(stages.subList(from, end));
      from = end;
    }
    return result;
  }

  /** Nothing may be made again after an update of the parameters that it is made from. */
  private boolean changesWhatImagesRead(List<Op> ops) {
    boolean updated = false;
    for (Op op : ops) {
      updated |= op.updatesParameters();
      if (updated && byImage.test(op)) {
        return true;
      }
    }
    return false;
  }

  private void add(Op op) {
    if (!byImage.test(op)) {
      close();
      current.add(new Part(op, Part.Half.WHOLE));
      close();
      return;
    }
    for (Part part : Part.of(op)) {
      if (fuse && cheap(part)) {
        recipes.put(part.writes().getFirst(), part);
      } else {
        append(part);
      }
    }
  }

  private boolean cheap(Part part) {
    if (part.writes().isEmpty()) {
      return false;
    }
    Value made = part.writes().getFirst();
    if (kept.contains(made) || readers.getOrDefault(made, 0) > MOST_MAKINGS) {
      return false;
    }
    return switch (part.op()) {
      case Op.BatchNormApply bn -> true;
      case Op.WeightedSumBackwardInput w -> true;
      case Op.GlobalPoolBackward p -> true;
      case Op.ScaleChannels s -> true;
      case Op.ChannelShuffle s -> recipes.containsKey(s.x());
      case Op.Pointwise p -> recipes.containsKey(p.x());
      case Op.Sum s -> s.xs().size() <= 2 && s.xs().stream().anyMatch(recipes::containsKey);
      default -> false;
    };
  }

  private void append(Part part) {
    Set<Part> wanted = withRecipes(part);
    if (!fuse || waits(wanted) || !follows(wanted) || crowded(wanted) || !sameBatch(part)) {
      close();
      wanted = withRecipes(part);
    }
    current.addAll(wanted);
    if (joins(part.op())) {
      close();
    }
  }

  /**
   * Whether a stage ends here: where branches meet, or images are made of bytes, so that what
   * follows runs in stages, and so in chunks, that do not depend on what came before. The same
   * gradient is then the same bits whether its branch is computed once or twice.
   */
  private static boolean joins(Op op) {
    return op instanceof Op.NormaliseImages
        || op instanceof Op.Sum
        || op instanceof Op.WeightedSum
        || op instanceof Op.WeightedSumBackwardCoefficients;
  }

  /** A part, behind those that make what it reads and is not made in this stage. */
  private Set<Part> withRecipes(Part part) {
    Set<Part> wanted = new LinkedHashSet<>();
    collect(part, wanted);
    return wanted;
  }

  private void collect(Part part, Set<Part> wanted) {
    for (Value read : part.reads()) {
      Part recipe = recipes.get(read);
      if (recipe != null && !current.contains(recipe) && !wanted.contains(recipe)) {
        collect(recipe, wanted);
      }
    }
    wanted.add(part);
  }

  private boolean waits(Set<Part> wanted) {
    return current.stream()
        .filter(Part::reduces)
        .anyMatch(earlier -> wanted.stream().anyMatch(part -> part.awaits(earlier)));
  }

  private boolean follows(Set<Part> wanted) {
    return wanted.stream()
        .flatMap(part -> part.reads().stream())
        .anyMatch(v -> current.stream().anyMatch(earlier -> earlier.writes().contains(v)));
  }

  /** A second convolution would bring more weights, unless it is the same one's other gradient. */
  private boolean crowded(Set<Part> wanted) {
    return wanted.stream().anyMatch(Part::convolves)
        && current.stream()
            .filter(Part::convolves)
            .anyMatch(part -> !(part.op() instanceof Op.ConvolutionBackwardWeights));
  }

  private boolean sameBatch(Part part) {
    return current.isEmpty() || batch(current.getFirst()) == batch(part);
  }

  /** How many images a part treats. */
  static int batch(Part part) {
    return images(part).getFirst().shape().get(0);
  }

  /** The images that a part reads and writes. */
  static List<Value> images(Part part) {
    return Stream.concat(part.reads().stream(), part.writes().stream())
        .filter(v -> v.shape().rank() == 4 && !isWeight(part, v))
        .toList();
  }

  private static boolean isWeight(Part part, Value v) {
    return switch (part.op()) {
      case Op.Convolution c -> v.equals(c.w());
      case Op.ConvolutionBackwardData c -> v.equals(c.w());
      case Op.ConvolutionBackwardWeights c -> v.equals(c.dw());
      default -> false;
    };
  }

  private void close() {
    if (!current.isEmpty()) {
      stages.add(current);
      current = new ArrayList<>();
    }
  }

  private List<Stage> result() {
    Set<Value> outside = new HashSet<>();
    for (List<Part> parts : stages) {
      outside.addAll(new Stage(parts, false, Set.of()).inputs());
    }
    List<Stage> result = new ArrayList<>();
    for (List<Part> parts : stages) {
      Set<Value> local = new HashSet<>();
      if (fuse && byImage.test(parts.getFirst().op())) {
        parts.forEach(part -> local.addAll(images(part)));
        local.removeAll(kept);
        local.removeAll(outside);
      }
      result.add(new Stage(List.copyOf(parts), byImage.test(parts.getFirst().op()), local));
    }
    return result;
  }
}
