/** Plain Java in double precision: the definition of every operation, and the others' oracle. */
package io.fbnet.engine.reference;
