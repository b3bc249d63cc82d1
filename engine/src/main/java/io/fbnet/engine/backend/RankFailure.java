package io.fbnet.engine.backend;

/**
 * Another process of the same training is gone, has failed, or does not answer; or processes were
 * started together but have no library by which to meet.
 */
public final class RankFailure extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /**
   * Says what happened, in one sentence.
   *
   * @param message names the rank where it is known
   * @param cause what the library reported, null where nothing did
   */
  public RankFailure(String message, Throwable cause) {
    super(message, cause);
  }
}
