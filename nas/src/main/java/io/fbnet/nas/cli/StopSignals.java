package io.fbnet.nas.cli;

import io.fbnet.nas.ExitCode;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Proxy;
import java.util.concurrent.atomic.AtomicReference;

/**
 * SIGINT and SIGTERM while a search runs: the first asks it to finish its step and save, the second
 * ends the process at once. The JDK's signal class is outside the standard, so it is reached by
 * reflection; where there is none, signals act as always.
 */
final class StopSignals {
  private final AtomicReference<ExitCode> received = new AtomicReference<>();

  private StopSignals() {}

  /** Takes both signals from now on. */
  static StopSignals take(Console console) {
    StopSignals signals = new StopSignals();
    signals.handle("INT", ExitCode.INTERRUPTED, console);
    signals.handle("TERM", ExitCode.TERMINATED, console);
    return signals;
  }

  private void handle(String name, ExitCode code, Console console) {
    try {
      Class<?> signal = Class.forName("sun.misc.Signal");
      Class<?> handler = Class.forName("sun.misc.SignalHandler");
      InvocationHandler body =
          (proxy, method, arguments) -> {
            if (!method.getName().equals("handle")) {
              return method.getName().equals("hashCode") ? (Object) name.hashCode() : false;
            }
            if (!received.compareAndSet(null, code)) {
              Runtime.getRuntime().halt(code.code());
            }
            console.note("finishing the step and saving; once more to leave at once");
            return null;
          };
      Object proxy =
          Proxy.newProxyInstance(handler.getClassLoader(), new Class<?>[] {handler}, body);
      signal
          .getMethod("handle", signal, handler)
          .invoke(null, signal.getConstructor(String.class).newInstance(name), proxy);
    } catch (ReflectiveOperationException | IllegalArgumentException e) {
      console.warn("SIG" + name + " cannot be taken: it ends the run without saving first");
    }
  }

  /** The same of a stop: where another rank's signal is its cause, that of an interruption. */
  ExitCode receivedHereOrElsewhere() {
    ExitCode here = received.get();
    return here == null ? ExitCode.INTERRUPTED : here;
  }

  /** The exit code of the signal that came, or null. */
  ExitCode received() {
    return received.get();
  }
}
