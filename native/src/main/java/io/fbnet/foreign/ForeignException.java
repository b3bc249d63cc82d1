package io.fbnet.foreign;

/** A native call that returned an error status. Carries the function, the code and its name. */
public final class ForeignException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final String function;
  private final int code;

  ForeignException(String function, int code, String codeName, String arguments) {
    super(
        function
            + " returned "
            + code
            + " ("
            + codeName
            + ")"
            + (arguments.isEmpty() ? "" : " for " + arguments));
    this.function = function;
    this.code = code;
  }

  /** The C function that failed. */
  public String function() {
    return function;
  }

  /** The library's own status code. */
  public int code() {
    return code;
  }
}
