package io.fbnet.engine.cuda;

import io.fbnet.engine.backend.DeviceFailure;
import io.fbnet.foreign.CudaDevice;
import io.fbnet.foreign.CudaFunction;
import io.fbnet.foreign.CudaModule;
import io.fbnet.foreign.ForeignException;
import io.fbnet.foreign.Nvrtc;
import io.fbnet.foreign.PrivateFolder;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.UUID;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Our kernels on one device, a module a source file. The jar's fatbins serve where they fit;
 * elsewhere NVRTC compiles the same source for the device, once: the result is kept on disk.
 * Without NVRTC the driver compiles the jar's PTX at each start.
 */
final class KernelLibrary implements AutoCloseable {
  private static final String FOLDER = "/io/fbnet/kernels/";
  private static final Pattern INCLUDE = Pattern.compile("(?m)^#\\s*include \"([^\"]+)\"");

  private final CudaDevice device;
  private final Path cache;
  private final Consumer<String> notes;
  private final Map<String, CudaModule> modules = new HashMap<>();
  private boolean said;
  private boolean saidUnkept;

  /**
   * Loads nothing yet.
   *
   * @param cache the folder where what NVRTC compiles is kept
   * @param notes told once that NVRTC compiles, and why
   */
  KernelLibrary(CudaDevice device, Path cache, Consumer<String> notes) {
    this.device = device;
    this.cache = cache;
    this.notes = notes;
  }

  /** A kernel of {@code file}.cu. */
  CudaFunction function(String file, String kernel) {
    return modules.computeIfAbsent(file, this::load).function(kernel);
  }

  private CudaModule load(String file) {
    byte[] image = resource(file + ".fatbin");
    String reason = "the jar was built without nvcc and has no compiled kernels";
    if (image != null) {
      try {
        return CudaModule.load(image);
      } catch (ForeignException e) {
        if (!CudaModule.isForAnotherDevice(e)) {
          throw e;
        }
        reason = "the jar's kernels do not fit this device and driver (" + e.getMessage() + ")";
      }
    }
    if (Nvrtc.availability().found()) {
      return compiled(file, reason);
    }
    byte[] ptx = resource(file + ".ptx");
    if (ptx == null) {
      throw new DeviceFailure(
          device.name(),
          false,
          new IllegalStateException(
              reason
                  + ", and NVRTC was not found to compile them: "
                  + Nvrtc.availability().remedy()));
    }
    sayOnce(reason + ", so the driver compiles their PTX at each start (NVRTC was not found)");
    return CudaModule.load(ptx);
  }

  private void sayOnce(String sentence) {
    if (!said) {
      said = true;
      notes.accept(sentence);
    }
  }

  private CudaModule compiled(String file, String reason) {
    byte[] text = resource(file + ".cu");
    if (text == null) {
      throw new IllegalStateException("the jar has neither kernels nor sources of " + file);
    }
    String source = new String(text, StandardCharsets.UTF_8);
    Map<String, String> headers = new LinkedHashMap<>();
    collectHeaders(source, headers);
    int architecture = device.computeCapability();
    sayOnce(
        String.format(
            Locale.ROOT,
            "%s, so NVRTC compiles them for sm_%d, once (kept in %s)",
            reason,
            architecture,
            cache));
    String name = key(file, source, headers, architecture) + ".cubin";
    Path kept = null;
    try {
      // A kernel reads and writes all that this process has on the device.
      kept = PrivateFolder.make(cache).resolve(name);
    } catch (IOException e) {
      sayUnkept(e);
    }
    if (kept != null && Files.isRegularFile(kept, LinkOption.NOFOLLOW_LINKS)) {
      try {
        return CudaModule.load(Files.readAllBytes(kept));
      } catch (IOException | ForeignException damaged) {
        // What a crash or a full disk left behind is made again.
      }
    }
    byte[] cubin = Nvrtc.compile(file + ".cu", source, headers, architecture);
    if (kept != null) {
      keep(kept, cubin);
    }
    return CudaModule.load(cubin);
  }

  private void keep(Path kept, byte[] cubin) {
    // Named here, so that it is removed even where only closing it failed.
    Path part = cache.resolve("kernel" + UUID.randomUUID() + ".part");
    try {
      Files.write(part, cubin);
      Files.move(part, kept, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    } catch (IOException e) {
      sayUnkept(e);
    } finally {
      remove(part);
    }
  }

  private static void remove(Path part) {
    try {
      Files.deleteIfExists(part);
    } catch (IOException e) {
      // A few kilobytes in a cache.
    }
  }

  private void sayUnkept(IOException why) {
    if (!saidUnkept) {
      saidUnkept = true;
      notes.accept("compiled kernels cannot be kept in " + cache + ": " + why.getMessage());
    }
  }

  private static void collectHeaders(String source, Map<String, String> headers) {
    List<String> fresh = new ArrayList<>();
    Matcher matcher = INCLUDE.matcher(source);
    while (matcher.find()) {
      String name = matcher.group(1);
      byte[] text = resource(name);
      // A header of the software device's alone is not in the jar, and no compiler asks for it.
      if (text != null && !headers.containsKey(name)) {
        headers.put(name, new String(text, StandardCharsets.UTF_8));
        fresh.add(name);
      }
    }
    fresh.forEach(name -> collectHeaders(headers.get(name), headers));
  }

  private static String key(
      String file, String source, Map<String, String> headers, int architecture) {
    try {
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      digest.update(source.getBytes(StandardCharsets.UTF_8));
      headers.values().forEach(h -> digest.update(h.getBytes(StandardCharsets.UTF_8)));
      digest.update(Nvrtc.availability().version().getBytes(StandardCharsets.UTF_8));
      String hash = HexFormat.of().formatHex(digest.digest()).substring(0, 16);
      return file + "-sm" + architecture + "-" + hash;
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e);
    }
  }

  private static byte[] resource(String name) {
    try (InputStream in = KernelLibrary.class.getResourceAsStream(FOLDER + name)) {
      return in == null ? null : in.readAllBytes();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @Override
  public void close() {
    modules.values().forEach(CudaModule::close);
    modules.clear();
  }
}
