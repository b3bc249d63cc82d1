package io.fbnet.nas.file;

import java.io.EOFException;
import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;

/** One wording for what can go wrong with a file. */
public final class IoReason {
  private IoReason() {}

  /** What a failure means, without the path that its message may consist of. */
  public static String of(IOException e) {
    return switch (e) {
      case NoSuchFileException missing -> "there is no such file";
      case AccessDeniedException denied -> "permission is missing";
      case EOFException end -> "it ends early";
      case FileSystemException file when file.getReason() != null -> file.getReason();
      default -> e.getMessage() == null ? e.getClass().getSimpleName() : e.getMessage();
    };
  }
}
