/** Latency tables measured on the device at hand. */
package io.fbnet.nas.measure;
