/**
 * What a run leaves on disk: its folder, checkpoints, tensors and metrics, safe against crashes.
 */
package io.fbnet.nas.run;
