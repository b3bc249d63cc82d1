package io.fbnet.nas;

import static com.tngtech.archunit.core.domain.JavaCall.Predicates.target;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAPackage;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAnyPackage;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.type;
import static com.tngtech.archunit.core.domain.properties.HasName.Predicates.name;
import static com.tngtech.archunit.core.domain.properties.HasName.Predicates.nameMatching;
import static com.tngtech.archunit.core.domain.properties.HasOwner.Predicates.With.owner;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;

import com.tngtech.archunit.base.DescribedPredicate;
import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.core.importer.Location;
import com.tngtech.archunit.junit.AnalyzeClasses;
import com.tngtech.archunit.junit.ArchTest;
import com.tngtech.archunit.lang.ArchRule;
import java.nio.charset.Charset;
import java.time.ZoneId;
import java.util.Locale;
import java.util.TimeZone;

/** The floor of search spaces and training stands on the engine, and on nothing below it. */
@AnalyzeClasses(
    packages = "io.fbnet",
    importOptions = {ImportOption.DoNotIncludeTests.class, FloorsTest.NoTestJars.class})
class FloorsTest {
  /** The engine's tests come in a jar of their own. */
  static final class NoTestJars implements ImportOption {
    @Override
    public boolean includes(Location location) {
      return !location.contains("-tests.jar");
    }
  }

  /** What a back end says about its library is a plain record, and the doctor prints it. */
  private static final String DESCRIPTION = "io.fbnet.foreign.Availability";

  /**
   * The command line asks the C library for what Java has no word for: whether a descriptor is a
   * terminal, an environment variable before the OpenMP library reads it. That is no computation,
   * so it needs no engine.
   */
  private static final String TERMINAL = "io.fbnet.nas.cli.Libc";

  @ArchTest
  static final ArchRule nothingCallsForeignFunctionsPastTheEngine =
      noClasses()
          .that()
          .resideInAPackage("io.fbnet.nas..")
          .should()
          .dependOnClassesThat(
              resideInAPackage("io.fbnet.foreign..")
                  .and(DescribedPredicate.not(name(DESCRIPTION))));

  @ArchTest
  static final ArchRule nativeSymbolsAreLinkedInOnePackage =
      noClasses()
          .that()
          .resideOutsideOfPackage("io.fbnet.foreign..")
          .and()
          .doNotHaveFullyQualifiedName(TERMINAL)
          .should()
          .dependOnClassesThat(nameMatching("java\\.lang\\.foreign\\.(Linker|SymbolLookup)\\b.*"));

  @ArchTest
  static final ArchRule theEngineDoesNotKnowWhatASupernetIs =
      noClasses()
          .that()
          .resideInAPackage("io.fbnet.engine..")
          .should()
          .dependOnClassesThat(resideInAPackage("io.fbnet.nas.."));

  /** They search any space by any evaluator, so they know neither supernets nor back ends. */
  @ArchTest
  static final ArchRule strategiesKnowSpacesAndRandomNumbersAlone =
      noClasses()
          .that()
          .resideInAPackage("io.fbnet.nas.strategy..")
          .should()
          .dependOnClassesThat(
              resideInAPackage("io.fbnet..")
                  .and(
                      DescribedPredicate.not(
                          resideInAnyPackage(
                              "io.fbnet.nas",
                              "io.fbnet.nas.strategy..",
                              "io.fbnet.nas.space..",
                              "io.fbnet.nas.latency..",
                              "io.fbnet.nas.file..",
                              "io.fbnet.engine.random.."))));

  /**
   * The compiler's checks find calls that take a default silently; these ask for it by its name.
   * What a program reads and writes is the same wherever it runs.
   */
  @ArchTest
  static final ArchRule nothingAsksForTheDefaultLocaleCharsetOrZone =
      noClasses()
          .should()
          .callMethodWhere(
              target(owner(type(Locale.class)))
                  .and(target(nameMatching("getDefault|setDefault")))
                  .or(
                      target(owner(type(Charset.class)))
                          .and(target(nameMatching("defaultCharset"))))
                  .or(target(owner(type(ZoneId.class))).and(target(nameMatching("systemDefault"))))
                  .or(
                      target(owner(type(TimeZone.class)))
                          .and(target(nameMatching("getDefault|setDefault")))));

  /** Whoever chooses architectures stands on budgets, which know probabilities and no theta. */
  @ArchTest
  static final ArchRule budgetsLieBelowTheSearch =
      noClasses()
          .that()
          .resideInAPackage("io.fbnet.nas.budget..")
          .should()
          .dependOnClassesThat(
              resideInAPackage("io.fbnet.nas.search..")
                  .or(resideInAPackage("io.fbnet.nas.train.."))
                  .or(resideInAPackage("io.fbnet.nas.cli..")));

  @ArchTest
  static final ArchRule packagesAreFreeOfCycles =
      slices().matching("io.fbnet.nas.(*)..").should().beFreeOfCycles();
}
