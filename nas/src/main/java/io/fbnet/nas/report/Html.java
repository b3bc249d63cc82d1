package io.fbnet.nas.report;

import io.fbnet.nas.file.ResourceText;
import io.fbnet.nas.file.Sha256;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.Locale;

/** What every page has around its body: one style, one script, and nothing from elsewhere. */
final class Html {
  private Html() {}

  /** A whole page. */
  static String page(String title, Svg body) {
    String script = ResourceText.of(Html.class, "report.js");
    // The page may load nothing, and run nothing but the script it was made with.
    String policy =
        String.format(
            Locale.ROOT,
            "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-%s'",
            sha256(script));
    Svg head = new Svg();
    head.leaf("meta", "charset", "utf-8").newline();
    head.leaf("meta", "http-equiv", "Content-Security-Policy", "content", policy).newline();
    head.leaf("meta", "name", "viewport", "content", "width=device-width, initial-scale=1");
    head.leaf("meta", "name", "color-scheme", "content", "light dark").newline();
    // An empty icon, or browsers ask the server for one.
    head.leaf("link", "rel", "icon", "href", "data:,").newline();
    head.words("title", title);
    return String.format(
        Locale.ROOT,
        """
        <!DOCTYPE html>
        <html lang="en">
        <head>
        %s
        <style>
        %s</style>
        </head>
        <body>
        <main>
        %s</main>
        <script>%s</script>
        </body>
        </html>
        """,
        head,
        ResourceText.of(Html.class, "report.css"),
        body,
        script);
  }

  private static String sha256(String text) {
    byte[] digest = Sha256.digest().digest(text.getBytes(StandardCharsets.UTF_8));
    return Base64.getEncoder().encodeToString(digest);
  }
}
