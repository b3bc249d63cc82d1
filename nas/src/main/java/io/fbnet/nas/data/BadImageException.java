package io.fbnet.nas.data;

import io.fbnet.nas.UserException;

/** An image file that cannot be used; the message ends a sentence that begins with its name. */
final class BadImageException extends Exception {
  private static final long serialVersionUID = 1L;

  BadImageException(String message) {
    super(UserException.plain(message));
  }

  BadImageException(String message, Throwable cause) {
    super(UserException.plain(message), cause);
  }
}
