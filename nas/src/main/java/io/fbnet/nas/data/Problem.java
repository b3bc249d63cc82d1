package io.fbnet.nas.data;

/**
 * Something wrong with a file or one of its images.
 *
 * @param file the file or folder, with the image's number where a file holds many
 * @param what what is wrong, as the end of a sentence that begins with the file
 */
public record Problem(String file, String what) {
  @Override
  public String toString() {
    return file + ": " + what;
  }
}
