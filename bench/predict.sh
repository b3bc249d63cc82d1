#!/bin/sh
# What the cost model predicts for the steps of this tree, by family: plans them on the software CUDA device, made
# like the GPU on which the model was fitted, without its memory. Arguments go to io.fbnet.bench.gpu.Prediction.
# Needs: mvn -q -B package -pl bench -am -DskipTests
set -e
root=$(cd "$(dirname "$0")/.." && pwd)
jar=$root/bench/target/benchmarks.jar
if [ ! -f "$jar" ] || [ ! -d "$root/kernels/target/software" ]; then
  echo "predict.sh: $jar or the software device is missing; build both with: mvn -q -B package -pl bench -am -DskipTests" >&2
  exit 4
fi
newer=$(find "$root"/native/src/main "$root"/engine/src/main "$root"/nas/src/main "$root"/bench/src/main \
  -name '*.java' -newer "$jar" -print -quit)
if [ -n "$newer" ]; then
  echo "predict.sh: $jar is older than ${newer#"$root"/}; build it with: mvn -q -B package -pl bench -am -DskipTests" >&2
  exit 4
fi
jdk=$("$root/bench/jdk" predict.sh)
FBNET_CUDA_PATH=$root/kernels/target/software SOFT_CUDA_HOLLOW=1 SOFT_CUDA_SMS=132 SOFT_CUDA_MEMORY=150000000000 \
  exec "$jdk/bin/java" --add-modules=jdk.incubator.vector --enable-native-access=ALL-UNNAMED \
  -cp "$jar" io.fbnet.bench.gpu.Prediction "$@"
