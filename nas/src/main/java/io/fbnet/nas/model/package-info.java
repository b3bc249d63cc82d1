/** Trained networks, and the files that hold a whole one. */
package io.fbnet.nas.model;
