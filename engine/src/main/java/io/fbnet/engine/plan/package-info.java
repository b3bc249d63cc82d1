/** Where the intermediates of a step lie: lifetimes in, offsets out. */
package io.fbnet.engine.plan;
