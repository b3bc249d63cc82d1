package io.fbnet.nas.search;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.nas.UserException;
import io.fbnet.nas.run.MetricsLog;
import io.fbnet.nas.search.ArchitectureScorer.Score;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.SearchSpace;
import io.fbnet.nas.strategy.Controller;
import io.fbnet.nas.strategy.Evaluator;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.BiFunction;
import java.util.function.ObjDoubleConsumer;

/**
 * A controller's proposals, scored one after the other and logged. A controller is a function of
 * its seed and of the scores that it was told, so the log is all that it takes to go on.
 */
final class Exploration {
  private static final String MACS = "macs";

  private final Path log;
  private final SearchSpace space;
  private final Controller controller;
  private final List<Score> scores = new ArrayList<>();

  /** Multiply-adds of all evaluations so far. */
  private double spent;

  /**
   * Takes up what the log holds.
   *
   * @param log a line an evaluation; it need not be there
   * @param space of the networks
   * @param controller at its beginning
   * @throws UserException (exit code 3) where the log is not of this controller
   */
  Exploration(Path log, SearchSpace space, Controller controller) {
    this.log = log;
    this.space = space;
    this.controller = controller;
    for (Score score : read(log, space)) {
      Optional<int[]> proposed = controller.propose();
      if (proposed.isEmpty() || !Arrays.equals(proposed.get(), score.architecture().choice())) {
        throw UserException.data(
            "%s, line %d: the network is not the one that this search would have proposed; remove"
                + " the file to propose anew",
            log, scores.size() + 1);
      }
      learn(score);
    }
    for (ObjectNode line : MetricsLog.read(log)) {
      spent += line.path(MACS).asDouble();
    }
  }

  /**
   * {@return what a log holds}
   *
   * @param log a line an evaluation; it need not be there
   * @param space of the networks
   * @throws UserException (exit code 3) where a line names no network of the space
   */
  static List<Score> read(Path log, SearchSpace space) {
    List<Score> scores = new ArrayList<>();
    for (ObjectNode line : MetricsLog.read(log)) {
      JsonNode list = line.path("choice");
      int[] choice = new int[space.layerCount()];
      for (int l = 0; l < choice.length; l++) {
        choice[l] = list.path(l).asInt(-1);
        if (choice[l] < 0 || choice[l] >= space.blocks().size() || list.size() != choice.length) {
          throw UserException.data(
              "%s, line %d: choice must name one candidate for each of %d layers",
              log, scores.size() + 1, choice.length);
        }
      }
      scores.add(
          new Score(
              Architecture.of("", space, choice),
              number(line, "latency_ms"),
              number(line, "accuracy"),
              number(line, "ce"),
              number(line, "loss")));
    }
    return scores;
  }

  /** JSON has no NaN, so the log holds none. */
  private static double number(JsonNode line, String field) {
    JsonNode value = line.path(field);
    return value.isNumber() ? value.asDouble() : Double.NaN;
  }

  private void learn(Score score) {
    scores.add(score);
    controller.feedback(score.architecture().choice(), score.accuracy(), score.latencyMs());
  }

  /**
   * Goes on until so many networks are scored, or there are no more, or it is asked to stop.
   *
   * @param evaluations how many in all
   * @param macs multiply-adds after which no further one is judged
   * @param evaluator judges a network
   * @param score what the search makes of that
   * @param cost told of each, with what was spent on all of them
   * @param observer told of each
   * @return whether it came to its end
   */
  boolean run(
      int evaluations,
      double macs,
      Evaluator evaluator,
      BiFunction<Architecture, Evaluator.Judgement, Score> score,
      ObjDoubleConsumer<Score> cost,
      SearchObserver observer) {
    try (MetricsLog out = MetricsLog.open(log)) {
      while (scores.size() < evaluations && spent < macs) {
        Optional<int[]> choice = controller.propose();
        if (choice.isEmpty()) {
          return true;
        }
        Evaluator.Judgement judged = evaluator.judge(choice.get());
        Score found = score.apply(Architecture.of("", space, choice.get()), judged);
        spent += judged.spent().macs();
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("choice", choice.get());
        line.put("latency_ms", found.latencyMs());
        line.put("accuracy", found.accuracy());
        line.put("ce", found.crossEntropy());
        line.put("loss", found.loss());
        line.put(MACS, judged.spent().macs());
        out.append(scores.size() + 1, line);
        learn(found);
        cost.accept(found, spent);
        observer.evaluated(scores.size(), evaluations, found);
        if (observer.stopRequested()) {
          out.force();
          return scores.size() >= evaluations || spent >= macs;
        }
      }
      out.force();
    }
    return true;
  }

  /** {@return every score, in the order in which the networks were proposed} */
  List<Score> scores() {
    return List.copyOf(scores);
  }
}
