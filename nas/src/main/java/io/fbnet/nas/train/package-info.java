/**
 * Training one architecture, from scratch or a trained network, what trainings of all kinds share,
 * and evaluation.
 */
package io.fbnet.nas.train;
