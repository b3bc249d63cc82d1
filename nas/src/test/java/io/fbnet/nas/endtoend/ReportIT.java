package io.fbnet.nas.endtoend;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.fbnet.nas.search.SamplesFile;
import java.awt.image.BufferedImage;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;

/** The page of a real run, as a browser shows it. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@Tag("full")
class ReportIT {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final long LONGEST_SECONDS = 120;
  private static final List<String> BROWSERS =
      List.of("chromium", "chromium-browser", "google-chrome");

  @TempDir static Path folder;
  private Path run;
  private Path page;

  /** A search of seconds, then samples with uniform ones. */
  @BeforeAll
  void search() throws Exception {
    Fbnet fbnet = new Fbnet(folder);
    Path space = fbnet.tinySpace();
    Path table = folder.resolve("table.json");
    run = folder.resolve("run");
    page = run.resolve("report.html");
    Fbnet.Outcome measured =
        fbnet.here("latency", "measure", "--space", space.toString(), "--out", table.toString());
    assertEquals(0, measured.code(), measured.err());
    Fbnet.Outcome search = fbnet.run(Fbnet.tinySearch(space, table, run));
    assertEquals(0, search.code(), search.err());
    assertTrue(search.out().contains("report in " + page), search.out());
    Fbnet.Outcome sampled = fbnet.here("sample", run.toString(), "--count", "5", "--uniform");
    assertEquals(0, sampled.code(), sampled.err());
    Path other = folder.resolve("other.html");
    Fbnet.Outcome report = fbnet.run("report", run.toString(), "--out", other.toString());
    assertEquals(0, report.code(), report.err());
    assertEquals(other + "\n", report.out());
    assertEquals(Files.readString(page), Files.readString(other));
  }

  /** What a browser's run printed. */
  private record Shown(String out, String err) {}

  /** A browser on the search path, or the test is skipped and says why. */
  private static Path browser() {
    for (String place : System.getenv().getOrDefault("PATH", "").split(File.pathSeparator, -1)) {
      for (String name : BROWSERS) {
        Path file = Path.of(place, name);
        if (Files.isExecutable(file)) {
          return file;
        }
      }
    }
    String reason = "no Chromium on PATH (apt-get install chromium): the page is not looked at";
    System.out.println("ReportIT skipped: " + reason);
    assumeTrue(false, reason);
    throw new AssertionError();
  }

  private static Shown browse(Path html, String... flags) throws Exception {
    Path profile = Files.createTempDirectory(folder, "profile");
    Path out = Files.createTempFile(folder, "browser", ".out");
    Path err = Files.createTempFile(folder, "browser", ".err");
    List<String> command = new ArrayList<>();
    command.add(browser().toString());
    command.addAll(
        List.of(
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--no-first-run",
            "--hide-scrollbars",
            "--user-data-dir=" + profile));
    command.addAll(Arrays.asList(flags));
    command.add(html.toUri().toString());
    Process process =
        new ProcessBuilder(command)
            .directory(folder.toFile())
            .redirectOutput(out.toFile())
            .redirectError(err.toFile())
            .start();
    // Helpers are the browser's descendants only while it lives, and may outlive it a little.
    Set<ProcessHandle> helpers = new HashSet<>();
    boolean ended = false;
    try {
      long last = System.nanoTime() + TimeUnit.SECONDS.toNanos(LONGEST_SECONDS);
      while (!ended && System.nanoTime() < last) {
        ended = process.waitFor(50, TimeUnit.MILLISECONDS);
        process.descendants().forEach(helpers::add);
      }
    } finally {
      process.destroyForcibly().waitFor();
      for (ProcessHandle helper : helpers) {
        try {
          helper.onExit().get(5, TimeUnit.SECONDS);
        } catch (TimeoutException e) {
          helper.destroyForcibly();
        }
      }
    }
    assertTrue(ended, "the browser hangs: " + Files.readString(err));
    assertEquals(0, process.exitValue(), Files.readString(err));
    return new Shown(Files.readString(out), Files.readString(err));
  }

  private static int count(String text, String pattern) {
    return (int) Pattern.compile(pattern).matcher(text).results().count();
  }

  @Test
  void aBrowserShowsTheRun() throws Exception {
    Shown shown = browse(page, "--dump-dom", "--enable-logging=stderr", "--log-level=0", "--v=0");
    String dom = shown.out();
    // The script took the tooltips over and showed the slider: it ran, and to its end.
    assertEquals(0, count(dom, "<title>(?!FBNet)"), "native tooltips are left");
    assertTrue(dom.contains("class=\"tip\""), "the script did not run");
    assertEquals(0, count(dom, "<input[^>]* hidden"), "the slider is hidden");
    // The console's messages go to the log; a refused load or script would be one.
    assertEquals(0, count(shown.err(), "CONSOLE"), shown.err());

    for (String words :
        List.of(
            "FBNet search: tiny",
            "3 of 3 epochs",
            "The network found",
            "Pareto front",
            "Theta",
            "Entropy of theta",
            "warmup-epochs",
            "oneDNN")) {
      assertTrue(dom.contains(words), words);
    }
    assertEquals(4 * 9, count(dom, "data-cell="));
    assertEquals(3, count(dom, "<figcaption>epoch "));
    assertEquals(4, count(dom, "class=\"chosen\""));
    SamplesFile samples = SamplesFile.read(run.resolve("samples.json"));
    assertTrue(samples.samples().size() >= 5);
    assertEquals(
        samples.samples().size(),
        count(dom, "<(circle|path)[^>]*class=\"point (drawn|uniform)"),
        "a point for each sample");
    assertEquals(1, count(dom, "<path[^>]*class=\"point drawn[a-z ]* star\""));
    assertEquals(frontSize(samples), count(dom, "class=\"point [a-z ]*pareto"));
    assertEquals(0, count(dom, "NaN|undefined"));
  }

  @Test
  void theSliderGoesBackToTheFirstEpoch() throws Exception {
    String moved =
        Files.readString(page)
            .replaceFirst("<meta http-equiv[^>]*>", "")
            .replace(
                "</body>",
                "<script>const s = document.getElementById('slider'); s.value = 0;"
                    + "s.dispatchEvent(new Event('input')); undefinedFunction();</script></body>");
    Shown shown =
        browse(
            Files.writeString(folder.resolve("moved.html"), moved),
            "--dump-dom",
            "--enable-logging=stderr",
            "--log-level=0");
    assertEquals(1, count(shown.out(), "<output id=\"epoch\">1</output>"), shown.out());
    // Theta has not moved in the warm-up: every block has a ninth.
    assertEquals(36, count(shown.out(), "class=\"cell q2\" data-cell"));
    assertEquals(36, count(shown.out(), "data-tip=\"L[1-4] [a-z0-9_]+: 11.1%\""));
    // And an error of a script does reach the log that the other test reads.
    assertTrue(shown.err().contains("CONSOLE"), shown.err());
  }

  /** Counted anew, from the definition: no other is at least as good in both and better in one. */
  private static long frontSize(SamplesFile file) {
    List<SamplesFile.Sample> all = file.samples();
    return all.stream()
        .filter(
            s ->
                all.stream()
                    .noneMatch(
                        o ->
                            o.latencyMs() <= s.latencyMs()
                                && o.accuracy() >= s.accuracy()
                                && (o.latencyMs() < s.latencyMs() || o.accuracy() > s.accuracy())))
        .count();
  }

  @Test
  void nothingIsAskedOfTheNetwork() throws Exception {
    Path log = folder.resolve("net.json");
    var _ = browse(page, "--dump-dom", "--log-net-log=" + log);
    String host = "127.0.0.1:9";
    Path asks =
        Files.writeString(
            folder.resolve("asks.html"), "<img src=\"http://" + host + "/picture.png\">");
    Path control = folder.resolve("control.json");
    var _ = browse(asks, "--dump-dom", "--log-net-log=" + control);
    // A page that does ask shows that the log would have told.
    assertTrue(requests(control).stream().anyMatch(url -> url.contains(host)), "the log is blind");
    assertEquals(Set.of(), ofThePage(requests(log)));
  }

  /** Addresses in a browser's network log. */
  private static Set<String> requests(Path log) throws IOException {
    Set<String> urls = new HashSet<>();
    collect(JSON.readTree(Files.readString(log, StandardCharsets.UTF_8)).path("events"), urls);
    return urls;
  }

  private static void collect(JsonNode node, Set<String> urls) {
    if (node.isObject() && node.path("url").asText("").startsWith("http")) {
      urls.add(node.path("url").asText());
    }
    node.forEach(child -> collect(child, urls));
  }

  /** Without what the browser asks its maker for on its own. */
  private static Set<String> ofThePage(Set<String> urls) {
    Set<String> rest = new HashSet<>(urls);
    rest.removeIf(url -> url.matches("https?://[^/]*\\.(google|googleapis|gvt1)\\.com/.*"));
    return rest;
  }

  @Test
  void itCanBePrintedAndDrawn() throws Exception {
    Path pdf = folder.resolve("report.pdf");
    var _ = browse(page, "--print-to-pdf=" + pdf, "--no-pdf-header-footer");
    byte[] start = Arrays.copyOf(Files.readAllBytes(pdf), 5);
    assertEquals("%PDF-", new String(start, StandardCharsets.US_ASCII));
    assertTrue(Files.size(pdf) > 20_000, Files.size(pdf) + " bytes");
    for (int width : new int[] {500, 1180}) {
      Path png = folder.resolve("report" + width + ".png");
      var _ = browse(page, "--window-size=" + width + ",1600", "--screenshot=" + png);
      BufferedImage image = ImageIO.read(png.toFile());
      Set<Integer> colours = new HashSet<>();
      for (int y = 0; y < image.getHeight(); y += 3) {
        for (int x = 0; x < image.getWidth(); x += 3) {
          colours.add(image.getRGB(x, y));
        }
      }
      assertTrue(colours.size() > 100, colours.size() + " colours: the picture is empty");
    }
  }

  @Test
  void theRunLeftItsEventFile() throws Exception {
    try (Stream<Path> files = Files.list(run)) {
      List<Path> events =
          files
              .filter(file -> file.getFileName().toString().startsWith("events.out.tfevents."))
              .toList();
      assertEquals(1, events.size());
      assertTrue(Files.size(events.getFirst()) > 10_000);
    }
  }
}
