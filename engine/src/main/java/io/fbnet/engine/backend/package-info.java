/** What a device must offer: memory, and compiled kernels for the operations of a graph. */
package io.fbnet.engine.backend;
