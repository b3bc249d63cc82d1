/** Foreign functions and off-heap memory: the only package that knows a native symbol's name. */
package io.fbnet.foreign;
