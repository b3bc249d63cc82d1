package io.fbnet.nas.data;

import java.io.IOException;
import java.net.ConnectException;
import java.net.InetSocketAddress;
import java.net.ProxySelector;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpTimeoutException;
import java.nio.channels.UnresolvedAddressException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Consumer;

/** Fetches {@code <address><file>.gz} over HTTP, honouring the {@code http_proxy} variable. */
final class HttpFetcher implements FileFetcher {
  private final String address;
  private final int megabytes;
  private final Duration limit;
  private final Map<String, String> environment;

  /**
   * A server's folder.
   *
   * @param address ends with a slash
   * @param megabytes what the notice says
   * @param limit how long one file may take
   */
  HttpFetcher(String address, int megabytes, Duration limit, Map<String, String> environment) {
    this.address = address;
    this.megabytes = megabytes;
    this.limit = limit;
    this.environment = environment;
  }

  static HttpFetcher fashionMnist() {
    return new HttpFetcher(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        31,
        Duration.ofMinutes(10),
        System.getenv());
  }

  @Override
  public String name() {
    return address;
  }

  @Override
  public void fetch(List<String> files, Path into, Consumer<String> notices)
      throws IOException, InterruptedException {
    notices.accept(
        "fetching " + files.size() + " files from " + address + " (" + megabytes + " MB)");
    try (HttpClient client = client()) {
      for (String file : files) {
        fetch(client, URI.create(address + file + ".gz"), into.resolve(file + ".gz"));
      }
      client.shutdownNow();
    }
  }

  /** The client's own connection failures carry no message. */
  private static String reason(Throwable failure) {
    for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
      if (cause instanceof UnresolvedAddressException) {
        return "the server's name cannot be resolved (no network?)";
      }
    }
    return switch (failure) {
      case HttpTimeoutException late -> "the server does not answer";
      case ConnectException refused -> "no connection to the server";
      default -> "the connection failed (" + failure + ")";
    };
  }

  private HttpClient client() {
    HttpClient.Builder builder =
        HttpClient.newBuilder()
            .connectTimeout(Duration.ofSeconds(10))
            .followRedirects(HttpClient.Redirect.NORMAL);
    proxy(environment.getOrDefault("http_proxy", ""))
        .ifPresent(address -> builder.proxy(ProxySelector.of(address)));
    return builder.build();
  }

  private static Optional<InetSocketAddress> proxy(String variable) {
    try {
      URI uri = URI.create(variable.contains("://") ? variable : "http://" + variable);
      return uri.getHost() == null || uri.getPort() < 0
          ? Optional.empty()
          : Optional.of(new InetSocketAddress(uri.getHost(), uri.getPort()));
    } catch (IllegalArgumentException e) {
      return Optional.empty();
    }
  }

  private void fetch(HttpClient client, URI uri, Path target)
      throws IOException, InterruptedException {
    HttpRequest request = HttpRequest.newBuilder(uri).timeout(Duration.ofSeconds(30)).build();
    CompletableFuture<HttpResponse<Path>> answer =
        client.sendAsync(request, HttpResponse.BodyHandlers.ofFile(target));
    boolean complete = false;
    try {
      // The request's own timeout ends with the headers; this one covers a body that stalls.
      int status = answer.get(limit.toMillis(), TimeUnit.MILLISECONDS).statusCode();
      if (status != 200) {
        throw new IOException("the server answers " + status + " for " + uri);
      }
      complete = true;
    } catch (ExecutionException e) {
      throw new IOException(reason(e.getCause()), e.getCause());
    } catch (TimeoutException e) {
      throw new IOException("no answer within " + limit.toSeconds() + " s", e);
    } finally {
      answer.cancel(true);
      if (!complete) {
        client.shutdownNow();
        Files.deleteIfExists(target);
      }
    }
  }
}
