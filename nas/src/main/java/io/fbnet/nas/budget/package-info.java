/**
 * What an architecture may cost: limits that hold together, the weights of their terms in the loss,
 * whether any architecture keeps them, and draws among those that do.
 */
package io.fbnet.nas.budget;
