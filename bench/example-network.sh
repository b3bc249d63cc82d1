#!/bin/sh
# Finds and trains the network of docs/examples/cifar10.safetensors: a search by ranked evolution with a supernet's
# weights, then a training from scratch on all training images. CIFAR is a folder of train/CLASS/* and test/CLASS/*.
# On one core of an AMD EPYC the search takes 17 minutes and the training 15. Latencies are those of that machine, so
# the search is the same elsewhere but for the rounding of other processors.
# Usage: example-network.sh CIFAR OUT, which must not exist
set -e
root=$(cd "$(dirname "$0")/.." && pwd)
examples=$root/docs/examples
if [ $# -ne 2 ] || [ ! -d "$1/train" ] || [ -e "$2" ]; then
  echo "usage: example-network.sh CIFAR OUT: CIFAR has train/ and test/, OUT does not exist" >&2
  exit 2
fi
mkdir -p "$2"
"$root/fbnet" search --data "$1" --space "$examples/cifar-small.yaml" --lut "$examples/cifar10-latency.json" \
  --max-macs 7M --strategy ranked-evolution --evaluations 200 --batch 64 --train-images 25000 --epochs 20 \
  --threads 1 --seed 1 --out "$2/search"
"$root/fbnet" train "$2/search/architecture.json" --data "$1" --lut "$examples/cifar10-latency.json" --epochs 50 \
  --crop-padding 4 --threads 1 --seed 1 --out "$2/trained"
cp "$2/trained/model.safetensors" "$examples/cifar10.safetensors"
cp "$2/trained/card.md" "$examples/cifar10.md"
