package io.fbnet.nas.report;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.nas.search.SamplesFile.Sample;
import io.fbnet.nas.space.BlockType;
import java.util.List;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.DoubleRange;
import net.jqwik.api.constraints.IntRange;
import org.junit.jupiter.api.Test;

/** The parts of drawings that are arithmetic. */
class ChartsTest {
  @Test
  void ticksAreRoundNumbers() {
    Axis axis = Axis.rounded(0.061, 0.0992, 5, 100, 0);
    assertEquals(
        List.of("0.06", "0.07", "0.08", "0.09", "0.10"),
        axis.ticks().stream().map(axis::label).toList());
    assertEquals(100, axis.at(axis.from()));
    assertEquals(0, axis.at(axis.to()));
    Axis steps = Axis.tight(0, 23_456, 6, 0, 600);
    assertEquals("20\u202f000", steps.label(steps.ticks().getLast()));
  }

  /** A label of a step as small as Java has would have hundreds of decimals, or endless ones. */
  @Test
  void valuesNextToNothingHaveShortLabels() {
    for (double most : new double[] {Double.MIN_VALUE, 1e-300, 1e-16}) {
      for (double least : new double[] {0, most}) {
        Axis axis = Axis.rounded(least, most, 5, 0, 100);
        assertTrue(axis.ticks().size() >= 2, axis.toString());
        axis.ticks().forEach(tick -> assertTrue(axis.label(tick).length() < 20, axis.toString()));
      }
    }
  }

  @Property(tries = 500)
  void everyRangeHasAFewTicksWithinIt(
      @ForAll @DoubleRange(min = -1e6, max = 1e6) double from,
      @ForAll @DoubleRange(min = 0, max = 1e6) double length,
      @ForAll @IntRange(min = 2, max = 9) int ticks) {
    Axis axis = Axis.rounded(from, from + length, ticks, 0, 100);
    assertTrue(axis.from() <= from + 1e-6 * Math.abs(from));
    assertTrue(axis.to() >= from + length - 1e-6 * Math.abs(from + length));
    int count = axis.ticks().size();
    assertTrue(count >= 2 && count <= ticks + 3, count + " ticks");
    assertEquals(count, axis.ticks().stream().map(axis::label).distinct().count());
  }

  @Test
  void binsKeepLeastMeanAndMost() {
    Series series = new Series();
    for (int i = 0; i < 10_000; i++) {
      series.add(i, i % 2 == 0 ? 0 : 1);
    }
    series.add(10_000, Double.NaN);
    assertEquals(10_000, series.size());
    List<Series.Bin> bins = series.bins(100);
    assertEquals(100, bins.size());
    for (Series.Bin bin : bins) {
      assertEquals(0, bin.least());
      assertEquals(0.5, bin.mean());
      assertEquals(1, bin.most());
    }
    assertEquals(49.5, bins.getFirst().step());
    Series few = new Series();
    few.add(3, 7);
    assertEquals(List.of(new Series.Bin(3, 7, 7, 7)), few.bins(100));
    assertEquals(List.of(), new Series().bins(100));
  }

  private static Sample sample(double ms, double accuracy) {
    return new Sample(List.of(BlockType.SKIP), ms, accuracy, 1, "theta", false);
  }

  @Test
  void theFrontIsWhatNoOtherBeats() {
    List<Sample> samples =
        List.of(
            sample(3, 0.7),
            sample(1, 0.5),
            sample(2, 0.6),
            sample(2, 0.55),
            sample(2.5, 0.6),
            sample(3, 0.7),
            sample(4, 0.1));
    assertEquals(
        List.of(sample(1, 0.5), sample(2, 0.6), sample(3, 0.7)), SamplePlot.front(samples));
    assertEquals(List.of(), SamplePlot.front(List.of()));
  }

  @Test
  void textIsEscapedAndNumbersAreShort() {
    assertEquals("&lt;a b=&quot;&#39;&amp;\ufffd", Svg.escape("<a b=\"'&\u0000"));
    assertEquals("0", Svg.number(-0.001));
    assertEquals("12.5", Svg.number(12.5));
    assertEquals("100", Svg.number(100));
  }
}
