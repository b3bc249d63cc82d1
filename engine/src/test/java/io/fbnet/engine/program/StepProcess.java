package io.fbnet.engine.program;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.fbnet.engine.cpu.CpuBackend;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;

/**
 * Steps of the small supernet in a process of its own, with nothing beside them. Prints {@code
 * digest HEX} over every result of every step, or {@code resident BYTES BYTES} before and behind
 * those thousand steps, of up to five, by which it grew least.
 */
final class StepProcess {
  private static final long SEED = 20260107L;
  private static final int WARM_UP = 300;
  private static final int STEPS = 1_000;
  private static final int MOST_TURNS = 5;
  private static final long LITTLE = 1 << 20;

  private StepProcess() {}

  /** Arguments: {@code digest} or {@code resident}, and how many threads. */
  public static void main(String[] args) throws IOException, NoSuchAlgorithmException {
    int threads = Integer.parseInt(args[1]);
    try (CpuBackend cpu = CpuBackend.open(threads)) {
      System.out.println(args[0].equals("digest") ? digest(cpu) : resident(cpu));
    }
  }

  private static void step(Instance instance, int number) {
    instance.program.set("step", (long) number);
    instance.program.set("count", (double) number);
    instance.program.set("rate", 0.01);
    instance.program.run();
  }

  static String digest(CpuBackend cpu) throws NoSuchAlgorithmException {
    MessageDigest digest = MessageDigest.getInstance("SHA-256");
    SmallSupernet net = SmallSupernet.of(5, true, SmallSupernet.Update.BOTH_OPTIMISERS);
    try (Instance instance = new Instance(cpu, net.graph(), SEED)) {
      for (int number = 1; number <= 5; number++) {
        step(instance, number);
        for (Map.Entry<String, List<Integer>> entry : instance.bits().entrySet()) {
          digest.update((entry.getKey() + entry.getValue()).getBytes(UTF_8));
        }
      }
    }
    return "digest " + HexFormat.of().formatHex(digest.digest());
  }

  private static String resident(CpuBackend cpu) throws IOException {
    SmallSupernet net = SmallSupernet.of(2, false, SmallSupernet.Update.BOTH_OPTIMISERS);
    try (Instance instance = new Instance(cpu, net.graph(), SEED)) {
      int allocations = cpu.liveAllocations();
      for (int number = 1; number <= WARM_UP; number++) {
        step(instance, number);
      }
      long before = 0;
      long after = Long.MAX_VALUE;
      int number = WARM_UP;
      // What leaks grows in every thousand steps; what Java's compilers take, in one of them.
      for (int turn = 0; turn < MOST_TURNS && after - before >= LITTLE; turn++) {
        long begin = residentBytes();
        for (int end = number + STEPS; number < end; ) {
          step(instance, ++number);
        }
        long end = residentBytes();
        if (end - begin < after - before) {
          before = begin;
          after = end;
        }
      }
      if (cpu.liveAllocations() != allocations) {
        throw new IllegalStateException("steps allocate: " + cpu.liveAllocations());
      }
      if (instance.program.scalar("finite") != 1) {
        throw new IllegalStateException("the steps computed no numbers");
      }
      return "resident " + before + " " + after;
    }
  }

  private static long residentBytes() throws IOException {
    for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
      if (line.startsWith("VmRSS:")) {
        return Long.parseLong(line.replaceAll("\\D", "")) * 1024;
      }
    }
    throw new IOException("/proc/self/status has no VmRSS");
  }

  /** Starts it and returns the words of its answer. */
  static List<String> start(String what, int threads, String... flags)
      throws IOException, InterruptedException {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.add("--enable-native-access=ALL-UNNAMED");
    command.add("--add-modules=jdk.incubator.vector");
    command.addAll(List.of(flags));
    command.add("-cp");
    command.add(System.getProperty("java.class.path"));
    command.add(StepProcess.class.getName());
    command.add(what);
    command.add(Integer.toString(threads));
    Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
    String output = new String(process.getInputStream().readAllBytes(), UTF_8);
    int exit = process.waitFor();
    if (exit != 0) {
      throw new IOException("exit code " + exit + ": " + output);
    }
    return List.of(output.lines().toList().getLast().split(" ", -1));
  }
}
