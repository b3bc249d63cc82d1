/**
 * The command line: one class a verb, results to standard output, everything else to standard
 * error.
 */
package io.fbnet.nas.cli;
