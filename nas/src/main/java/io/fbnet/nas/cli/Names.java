package io.fbnet.nas.cli;

import io.fbnet.nas.UserException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/**
 * Names of files and arguments, which Java reads in the encoding of the process's locale. Under
 * LC_ALL=C, or where no locale is set, that is ASCII: letters beyond it are lost before a line of
 * the program runs.
 */
final class Names {
  static final String REMEDY =
      "set LC_ALL to a locale of UTF-8, such as C.UTF-8, and start the program again";

  private static final Path COMMAND_LINE = Path.of("/proc/self/cmdline");

  private Names() {}

  /** Whether names may hold nothing but ASCII in this process. */
  static boolean areAscii() {
    String encoding = System.getProperty("sun.jnu.encoding", "UTF-8");
    return Charset.isSupported(encoding)
        && Charset.forName(encoding).equals(StandardCharsets.US_ASCII);
  }

  /**
   * The arguments as they were given, where Java lost letters of them and they are UTF-8; else as
   * Java read them.
   */
  static List<String> given(List<String> arguments) {
    if (!areAscii()) {
      return arguments;
    }
    try {
      String all =
          StandardCharsets.UTF_8
              .newDecoder()
              .decode(ByteBuffer.wrap(Files.readAllBytes(COMMAND_LINE)))
              .toString();
      List<String> parts = List.of(all.substring(0, Math.max(0, all.length() - 1)).split("\0", -1));
      return parts.size() < arguments.size()
          ? arguments
          : parts.subList(parts.size() - arguments.size(), parts.size());
    } catch (CharacterCodingException e) {
      return arguments;
    } catch (IOException e) {
      // Another system than Linux.
      return arguments;
    }
  }

  /**
   * Refuses arguments of which letters were lost.
   *
   * @throws UserException (exit code 2) that names the setting
   */
  static void requireReadable(String[] arguments) {
    List<String> read = List.of(arguments);
    List<String> given = given(read);
    for (int i = 0; i < read.size(); i++) {
      String argument = given.get(i);
      if (areAscii() && !argument.chars().allMatch(c -> c < 128)) {
        throw UserException.usage(
            "the argument '%s' has letters that Java cannot read in this locale: %s",
            argument, REMEDY);
      }
    }
  }
}
