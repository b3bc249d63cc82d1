package io.fbnet.engine.cuda;

import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Value;
import java.util.List;
import java.util.function.Function;

/**
 * The norms of a bank's candidates at one place.
 *
 * @param numbers [4][channels] of all: mean, inverse deviation, gamma, beta
 * @param all the candidates' norms
 * @param places where their parameters lie
 * @param gradient of a candidate's
 */
record BankNorm(
    Value numbers,
    List<Op.BatchNorm> all,
    Function<BankWeights, BankWeights.Places> places,
    Function<BankCandidate.Gradient, Op.BatchNormBackward> gradient) {
  Op.BatchNorm any() {
    return all.getFirst();
  }
}
