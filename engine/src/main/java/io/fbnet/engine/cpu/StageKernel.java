package io.fbnet.engine.cpu;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Value;
import io.fbnet.engine.plan.MemoryPlan;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;

/** A stage whose parts treat images one by one, ready to run. */
final class StageKernel implements Kernel {
  /** Where the values lie that only a stage itself needs, for chunks of a size. */
  record Layout(Chunks chunks, List<Value> local, MemoryPlan plan) {
    static Layout of(CpuContext context, Stage stage) {
      int batch = Stages.batch(stage.parts().getFirst());
      Chunks whole = new Chunks(batch, context.team.threads(), batch);
      Chunks chunks =
          whole.divided() ? new Chunks(batch, whole.threads(), chunk(context, stage)) : whole;
      List<Value> local = new ArrayList<>(stage.local());
      local.sort(java.util.Comparator.comparingInt(Value::id));
      List<MemoryPlan.Lifetime> lifetimes = new ArrayList<>();
      for (Value v : local) {
        lifetimes.add(lifetime(stage, v, chunks.size() * context.imageBytes(v)));
      }
      return new Layout(chunks, local, MemoryPlan.of(lifetimes));
    }

    private static MemoryPlan.Lifetime lifetime(Stage stage, Value v, long bytes) {
      int first = -1;
      int last = -1;
      for (int i = 0; i < stage.parts().size(); i++) {
        Part part = stage.parts().get(i);
        if (part.writes().contains(v) || part.reads().contains(v)) {
          first = first < 0 ? i : first;
          last = i;
        }
      }
      return new MemoryPlan.Lifetime(first, last, bytes);
    }

    /** As many images as stay in cache, and more where gradients of weights are added up. */
    private static int chunk(CpuContext context, Stage stage) {
      Set<Value> images = new HashSet<>();
      long gradients = 0;
      for (Part part : stage.parts()) {
        images.addAll(Stages.images(part));
        if (part.op() instanceof Op.ConvolutionBackwardWeights c) {
          gradients += c.dw().shape().elements() * Float.BYTES;
        }
      }
      long bytes = images.stream().mapToLong(context::imageBytes).sum();
      long fitting = context.backend.chunkBytes() / bytes;
      return Math.clamp(
          Math.max(fitting, GRADIENT_SHARE * gradients / bytes), 1, Integer.MAX_VALUE);
    }
  }

  /** Adding up a gradient of weights must cost little beside computing it: bytes against bytes. */
  private static final int GRADIENT_SHARE = 4;

  private final CpuContext context;
  private final Chunks chunks;
  private final Piece[] pieces;
  private final ThreadTeam.Task task;

  StageKernel(
      CpuContext context, Stage stage, Layout layout, Function<Value, MemorySegment> memory) {
    this.context = context;
    chunks = layout.chunks();
    Map<Value, Images> places = new HashMap<>();
    for (int i = 0; i < layout.local().size(); i++) {
      Value v = layout.local().get(i);
      MemorySegment[] homes = new MemorySegment[chunks.shares()];
      for (int t = 0; t < homes.length; t++) {
        homes[t] =
            context
                .scratch(slot(t), layout.plan().bytes())
                .asSlice(layout.plan().offset(i), chunks.size() * context.imageBytes(v));
      }
      places.put(v, Images.local(homes, context.imageBytes(v)));
    }
    Function<Value, Images> images =
        v -> {
          Images local = places.get(v);
          return local != null ? local : Images.whole(memory.apply(v), v.shape().get(0));
        };
    pieces = new Piece[stage.parts().size()];
    PieceMaker maker = new PieceMaker(context, chunks, images, memory);
    for (int i = 0; i < pieces.length; i++) {
      pieces[i] = maker.make(stage.parts().get(i), i);
    }
    task = this::share;
  }

  /** The scratch memory of a thread's chunk. */
  static String slot(int thread) {
    return "images " + thread;
  }

  @Override
  public void launch() {
    for (Piece piece : pieces) {
      piece.begin();
    }
    if (chunks.divided()) {
      context.team.run(task);
    } else if (pieces.length == 1 && pieces[0] instanceof Piece.ByBlock byBlock) {
      byBlocks(byBlock);
    } else {
      share(0);
    }
    for (Piece piece : pieces) {
      piece.finish();
    }
  }

  private void share(int share) {
    int count = chunks.count(share);
    for (int c = 0; c < count; c++) {
      int from = chunks.start(share, c);
      int to = chunks.start(share, c + 1);
      for (Piece piece : pieces) {
        piece.images(from, to, share);
      }
    }
  }

  /** A few large images are divided by blocks of channels. */
  private void byBlocks(Piece.ByBlock piece) {
    for (int n = 0; n < chunks.batch(); n++) {
      int image = n;
      context.parallel(
          piece.layout.blocks(),
          piece.layout.rowBytes(),
          (first, last, thread) -> piece.blocks(image, first, last, 0, thread));
    }
  }
}
