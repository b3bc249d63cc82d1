/**
 * Strict reading of small YAML and JSON files, with the line of every value, and writing that never
 * leaves half a file.
 */
package io.fbnet.nas.file;
