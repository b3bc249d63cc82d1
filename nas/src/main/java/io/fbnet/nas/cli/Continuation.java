package io.fbnet.nas.cli;

import io.fbnet.engine.backend.DeviceFailure;
import io.fbnet.nas.ExitCode;
import io.fbnet.nas.UserException;
import java.util.Locale;
import java.util.function.Supplier;

/** Work that can be continued by a command, which a device that fails makes the user's next one. */
record Continuation(String command) {
  /** Does it. */
  <T> T of(Supplier<T> work) {
    try {
      return work.get();
    } catch (DeviceFailure e) {
      throw new UserException(
          ExitCode.DEVICE_OR_MEMORY,
          String.format(Locale.ROOT, "%s; continue with: %s", e.getMessage(), command),
          e);
    }
  }

  /** Does it. */
  void of(Runnable work) {
    of(
        () -> {
          work.run();
          return null;
        });
  }
}
