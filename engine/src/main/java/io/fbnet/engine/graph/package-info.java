/** Values with static shapes, the operations between them, and automatic differentiation. */
package io.fbnet.engine.graph;
