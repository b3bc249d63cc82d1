/** Training one architecture from scratch, what trainings of all kinds share, and evaluation. */
package io.fbnet.nas.train;
