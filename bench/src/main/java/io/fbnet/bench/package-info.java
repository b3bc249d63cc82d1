/** JMH benchmarks and comparisons with peers. */
package io.fbnet.bench;
