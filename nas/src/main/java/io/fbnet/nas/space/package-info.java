/** Search spaces, the architectures in them, and what an architecture costs. */
package io.fbnet.nas.space;
