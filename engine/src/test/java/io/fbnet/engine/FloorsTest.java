package io.fbnet.engine;

import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAPackage;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAnyPackage;
import static com.tngtech.archunit.core.domain.properties.HasName.Predicates.nameMatching;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;

import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.junit.AnalyzeClasses;
import com.tngtech.archunit.junit.ArchTest;
import com.tngtech.archunit.lang.ArchRule;

/** Who may know whom, from the foreign functions up to programs. */
@AnalyzeClasses(packages = "io.fbnet", importOptions = ImportOption.DoNotIncludeTests.class)
class FloorsTest {
  @ArchTest
  static final ArchRule graphsKnowNoBackEnd =
      classes()
          .that()
          .resideInAPackage("io.fbnet.engine.graph..")
          .should()
          .onlyDependOnClassesThat(
              resideInAnyPackage("io.fbnet.engine.graph..", "java..", "com.google.errorprone.."));

  @ArchTest
  static final ArchRule plansKnowGraphsAlone =
      noClasses()
          .that()
          .resideInAPackage("io.fbnet.engine.plan..")
          .should()
          .dependOnClassesThat(
              resideInAPackage("io.fbnet..")
                  .and(
                      JavaClass.Predicates.resideOutsideOfPackages(
                          "io.fbnet.engine.plan..", "io.fbnet.engine.graph..")));

  @ArchTest
  static final ArchRule programsKnowBackEndsByTheirInterfaceAlone =
      noClasses()
          .that()
          .resideInAPackage("io.fbnet.engine.program..")
          .should()
          .dependOnClassesThat(
              resideInAnyPackage(
                  "io.fbnet.engine.cpu..", "io.fbnet.engine.reference..", "io.fbnet.foreign.."));

  @ArchTest
  static final ArchRule referenceDoesNotKnowTheCpu =
      noClasses()
          .that()
          .resideInAPackage("io.fbnet.engine.reference..")
          .should()
          .dependOnClassesThat(resideInAnyPackage("io.fbnet.engine.cpu..", "io.fbnet.foreign.."));

  @ArchTest
  static final ArchRule theCpuDoesNotKnowTheReference =
      noClasses()
          .that()
          .resideInAPackage("io.fbnet.engine.cpu..")
          .should()
          .dependOnClassesThat(resideInAPackage("io.fbnet.engine.reference.."));

  @ArchTest
  static final ArchRule ranksKnowNoDevice =
      noClasses()
          .that()
          .resideInAPackage("io.fbnet.engine.ranks..")
          .should()
          .dependOnClassesThat(
              resideInAPackage("io.fbnet.engine..")
                  .and(
                      JavaClass.Predicates.resideOutsideOfPackages(
                          "io.fbnet.engine.ranks..", "io.fbnet.engine.backend..")));

  @ArchTest
  static final ArchRule theEngineDoesNotKnowWhatASupernetIs =
      noClasses()
          .that(resideInAnyPackage("io.fbnet.engine..", "io.fbnet.foreign.."))
          .should()
          .dependOnClassesThat(resideInAPackage("io.fbnet.nas.."));

  @ArchTest
  static final ArchRule foreignFunctionsKnowNoEngine =
      noClasses()
          .that()
          .resideInAPackage("io.fbnet.foreign..")
          .should()
          .dependOnClassesThat(resideInAPackage("io.fbnet.engine.."));

  @ArchTest
  static final ArchRule nativeSymbolsAreLinkedInOnePackage =
      noClasses()
          .that()
          .resideInAPackage("io.fbnet.engine..")
          .should()
          .dependOnClassesThat(nameMatching("java\\.lang\\.foreign\\.(Linker|SymbolLookup)\\b.*"));

  @ArchTest
  static final ArchRule packagesAreFreeOfCycles =
      slices().matching("io.fbnet.engine.(*)..").should().beFreeOfCycles();
}
