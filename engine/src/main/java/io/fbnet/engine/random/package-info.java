/** Counter-based randomness: the same words on every back end, whatever the order of work. */
package io.fbnet.engine.random;
