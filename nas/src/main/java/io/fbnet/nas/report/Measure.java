package io.fbnet.nas.report;

/** What the network that a search found is judged by. */
public enum Measure {
  /** The best of its networks that were trained from scratch. */
  CHILDREN(
      "test accuracy",
      "of the child that is best on the held out images, trained from scratch; the test images were"
          + " read once for it",
      false),
  /** The supernet's own weights, which differ from search to search. */
  SHARED_WEIGHTS(
      "test accuracy with shared weights",
      "of the network found, with the weights of its own supernet: what these say of two strategies"
          + " is as much about their supernets as about their networks; --train K trains what they"
          + " found by one recipe",
      false),
  /** The network that the search itself trained. */
  TRAINED(
      "test accuracy",
      "of the network found, trained from scratch as the search trained it; the test images were"
          + " read once for it",
      false),
  /** How far below the best known network it is. */
  REGRET(
      "regret",
      "the best mean accuracy that the table knows within the budget less that of the network"
          + " found, in points",
      true);

  private final String title;
  private final String note;
  private final boolean least;

  Measure(String title, String note, boolean least) {
    this.title = title;
    this.note = note;
    this.least = least;
  }

  /** {@return its name for people} */
  public String title() {
    return title;
  }

  /** {@return what it is of} */
  public String note() {
    return note;
  }

  /** {@return whether the least is the best} */
  public boolean least() {
    return least;
  }

  /** A value as text. */
  String text(double value) {
    return String.format(java.util.Locale.ROOT, this == REGRET ? "%.3f" : "%.4f", value);
  }
}
