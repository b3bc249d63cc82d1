/**
 * Search strategies without gradients of weights: they propose networks inside a budget, hear how
 * good each is, and propose better ones. Plain doubles, deterministic, resumable bit for bit.
 */
package io.fbnet.nas.strategy;
