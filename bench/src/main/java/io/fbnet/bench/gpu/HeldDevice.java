package io.fbnet.bench.gpu;

import io.fbnet.foreign.CudaDevice;
import java.lang.reflect.InvocationTargetException;

/**
 * Runs JUnit's console with a device's context held open. Each test opens and closes the device; a
 * held context spares it the set-up, which takes long under compute-sanitizer.
 */
public final class HeldDevice {
  private static final String CONSOLE = "org.junit.platform.console.ConsoleLauncher";

  private HeldDevice() {}

  /** Takes the console's arguments; the console ends the process. */
  public static void main(String[] arguments) throws ReflectiveOperationException {
    Gpu.require(true);
    try (CudaDevice device = CudaDevice.open(0)) {
      System.out.println("holding " + device.name());
      Class.forName(CONSOLE).getMethod("main", String[].class).invoke(null, (Object) arguments);
    } catch (InvocationTargetException e) {
      throw new IllegalStateException("JUnit's console failed", e.getCause());
    }
  }
}
