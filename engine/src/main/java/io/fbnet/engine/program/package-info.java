/** Parameters on a device, and steps that are planned once and run many times. */
package io.fbnet.engine.program;
