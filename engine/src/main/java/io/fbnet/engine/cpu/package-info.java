/** The CPU back end: oneDNN for convolutions and products, our own loops for everything else. */
package io.fbnet.engine.cpu;
