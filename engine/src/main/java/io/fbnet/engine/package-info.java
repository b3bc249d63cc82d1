/** Shapes, graphs, automatic differentiation, memory plans and programs. */
package io.fbnet.engine;
