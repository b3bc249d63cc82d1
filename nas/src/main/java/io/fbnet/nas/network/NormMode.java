package io.fbnet.nas.network;

/** How a network's batch normalisations work. */
enum NormMode {
  /** By the batch's statistics, moving the running ones. */
  TRAIN,
  /** By the batch's statistics, leaving the running ones alone: a theta step. */
  TRAIN_WITHOUT_UPDATE,
  /** By the running statistics. */
  INFERENCE
}
