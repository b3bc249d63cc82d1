/** Processes that train together: what a launcher started, and exchanges between them by MPI. */
package io.fbnet.engine.ranks;
