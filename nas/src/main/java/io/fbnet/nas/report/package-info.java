/**
 * A run as one page for people: the run's files read into a model, drawings as SVG, and the HTML
 * around them. The page needs no network and, but for tooltips and a slider, no script.
 */
package io.fbnet.nas.report;
