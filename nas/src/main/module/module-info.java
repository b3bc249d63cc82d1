/** The library: what is exported here has complete Javadoc and is kept; the rest may change. */
module io.fbnet {
  requires java.desktop;
  requires java.management;
  requires java.net.http;
  requires static java.sql;
  requires static jdk.incubator.vector;

  exports io.fbnet.engine.backend;
  exports io.fbnet.engine.cpu;
  exports io.fbnet.engine.cuda;
  exports io.fbnet.engine.graph;
  exports io.fbnet.engine.program;
  exports io.fbnet.engine.ranks;
  exports io.fbnet.engine.reference;
  exports io.fbnet.nas;
  exports io.fbnet.nas.budget;
  exports io.fbnet.nas.data;
  exports io.fbnet.nas.latency;
  exports io.fbnet.nas.measure;
  exports io.fbnet.nas.model;
  exports io.fbnet.nas.network;
  exports io.fbnet.nas.onnx;
  exports io.fbnet.nas.run;
  exports io.fbnet.nas.search;
  exports io.fbnet.nas.space;
  exports io.fbnet.nas.strategy;
  exports io.fbnet.nas.train;

  uses io.fbnet.nas.space.BlockProvider;
}
