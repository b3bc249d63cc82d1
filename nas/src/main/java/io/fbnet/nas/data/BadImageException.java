package io.fbnet.nas.data;

/** An image file that cannot be used; the message ends a sentence that begins with its name. */
final class BadImageException extends Exception {
  private static final long serialVersionUID = 1L;

  BadImageException(String message) {
    super(message);
  }

  BadImageException(String message, Throwable cause) {
    super(message, cause);
  }
}
