package io.fbnet.nas.data;

/** Images of each class. */
final class Counts {
  private Counts() {}

  static int[] byClass(ImageSet set) {
    return byClass(set.labels(), set.classes().size());
  }

  static int[] byClass(int[] labels, int classes) {
    int[] counts = new int[classes];
    for (int label : labels) {
      counts[label]++;
    }
    return counts;
  }
}
