#!/usr/bin/env bash
# The check for a real device: packs what a machine with a GPU, CUDA, cuDNN and PyTorch but no
# network and no Java needs, and runs there in parts. See docs/gpu-check.md.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: bench/gpu-check.sh pack
       bench/gpu-check.sh all|PART [--seconds N] [--out DIR] [--after REPORT.JSON] [--tiny]

pack       builds, and puts all that must travel into bench/target/gpu-check/gpu-check.tar.xz
all        every part in the order below, within N seconds (480); the same command again goes on
           with what is left, on a fresh machine with --after and the report.json that came back

contract   the contract suite on the GPU
steps      our supernet steps, up to the largest batch
profile    how long each kernel runs in a step, by CUPTI
torch      the same steps in PyTorch by several ways
kernels    each kernel against a copy within the device
search     a whole search
memcheck   compute-sanitizer over every operation
racecheck  compute-sanitizer over a small supernet's steps
TEXT
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
part=${1:-}
case $part in
  pack | all | contract | steps | profile | torch | kernels | search | memcheck | racecheck) shift ;;
  -h | --help | help) usage; exit 0 ;;
  *) usage >&2; exit 2 ;;
esac

# A small set of JPEG images in one file of at most 1 MiB, from an archive of train/CLASS and
# test/CLASS. Without the archive the search draws its own images.
images() {
  local folder class size limit=$((1 << 20))
  if [ ! -f "$1" ]; then
    echo "no images are packed ($1 is not there): the search will draw shapes"
    return
  fi
  folder=$(mktemp -d)
  tar -xJf "$1" -C "$folder"
  (
    cd "$folder"
    for class in train/*; do find "$class" -name '*.jpg' | sort | sed -n 1,250p; done
    for class in test/*; do find "$class" -name '*.jpg' | sort | sed -n 1,50p; done
  ) >"$folder/list"
  tar -C "$folder" --sort=name --owner=0 --group=0 --mtime=@0 -T "$folder/list" -cf - \
    | xz -9e >"$2"
  rm -rf "$folder"
  size=$(stat -c %s "$2")
  if [ "$size" -gt "$limit" ]; then
    echo "gpu-check: the images of the search are $size bytes, more than 1 MiB" >&2
    exit 1
  fi
}

pack() {
  local root target stage jdk junit size limit=$((58 << 20))
  root=$(cd "$here/.." && pwd)
  jdk=$("$here/jdk" gpu-check) || exit
  if [ ! -x "$jdk/bin/jlink" ]; then
    echo "gpu-check: $jdk has no jlink: install the whole JDK 25" >&2
    exit 4
  fi
  target=$root/bench/target/gpu-check
  stage=$target/gpu-check
  rm -rf "$target"
  mkdir -p "$stage/lib" "$stage/test" "$stage/peers"
  # With the build, the libraries of nas that the parts need.
  (cd "$root" && mvn -q -B -DskipTests package dependency:copy-dependencies -pl bench -am \
    -DincludeScope=runtime -DoutputDirectory="$stage/lib" \
    -DincludeGroupIds=com.fasterxml.jackson.core,com.fasterxml.jackson.dataformat,org.yaml,org.bytedeco,info.picocli)
  # Of oneDNN's jar the two libraries alone, stored, since xz packs better than zip.
  python3 - "$stage/lib" <<'PYTHON'
import pathlib, sys, zipfile
for jar in pathlib.Path(sys.argv[1]).glob("dnnl-*.jar"):
    with zipfile.ZipFile(jar) as old, zipfile.ZipFile(jar.with_name("onednn.jar"), "w") as new:
        for entry in old.infolist():
            if entry.filename.endswith(("/libdnnl.so.3", "/libgomp.so.1")):
                new.writestr(entry.filename, old.read(entry))
    jar.unlink()
PYTHON
  local module
  for module in native kernels engine nas bench; do
    find "$root/$module/target" -maxdepth 1 -name 'fbnet-*-*.jar' ! -name '*-all.jar' \
      ! -name '*-sources.jar' -exec cp {} "$stage/lib/" \;
  done
  cp -r "$root/engine/target/test-classes" "$stage/test/classes"
  # The console's version follows Jupiter's: 5.14.4 comes with 1.14.4.
  junit=$(sed -n 's:.*<junit.version>5\(.*\)</junit.version>.*:1\1:p' "$root/pom.xml")
  (cd "$root" && mvn -q -B -N dependency:copy -DoutputDirectory="$stage/test" \
    -Dartifact="org.junit.platform:junit-platform-console-standalone:$junit")

  # java.desktop decodes the JPEG images of the search.
  "$jdk/bin/jlink" --output "$stage/java" --strip-debug --no-header-files --no-man-pages \
    --add-modules java.base,java.desktop,java.logging,java.management,java.xml,jdk.unsupported,jdk.incubator.vector
  # Where jlink was built without objcopy, the libraries keep their symbols.
  find "$stage/java" -name '*.so' -exec strip --strip-unneeded {} \; 2>/dev/null || true

  # Built here where CUPTI's header is, else on the machine with the GPU.
  cp -r "$root/kernels/profile" "$stage/profile"
  make -C "$stage/profile" OUT=.
  images "$root/../shared/data/cifar10-jpeg.tar.xz" "$stage/images.tar.xz"
  cp "$here"/peers/*.py "$stage/peers/"
  cp "${BASH_SOURCE[0]}" "$stage/gpu-check.sh"
  # Errors in these are ours; in others, NVIDIA's.
  sed -n 's/^\.visible \.entry \([A-Za-z0-9_]*\).*/\1/p' \
    "$root"/kernels/target/classes/io/fbnet/kernels/*.ptx | sort -u >"$stage/kernels.txt"
  "$stage/java/bin/java" -cp "$stage/lib/*" io.fbnet.bench.gpu.SupernetStep --describe \
    >"$stage/peers/spaces.json"
  if ! cmp -s "$stage/peers/spaces.json" "$here/peers/spaces.json"; then
    echo "gpu-check: bench/peers/spaces.json is not what Java writes now: commit the fresh one," >&2
    echo "  $stage/peers/spaces.json" >&2
    exit 1
  fi
  {
    git -C "$root" rev-parse HEAD 2>/dev/null || echo unknown
    [ -z "$(git -C "$root" status --porcelain 2>/dev/null)" ] || echo "with uncommitted changes"
  } | paste -sd' ' >"$stage/commit.txt"
  (cd "$here/peers" && python3 -m unittest -q -b test_check test_spec)

  tar -C "$target" --sort=name --owner=0 --group=0 -cf - gpu-check | xz -6 -T2 \
    >"$target/gpu-check.tar.xz"
  rm -rf "$stage"
  size=$(stat -c %s "$target/gpu-check.tar.xz")
  echo "bench/target/gpu-check/gpu-check.tar.xz: $((size / 1048576)) MiB ($size bytes)"
  if [ "$size" -gt "$limit" ]; then
    echo "gpu-check: more than 58 MiB, which leaves too little of the 64 MiB that may travel" >&2
    exit 1
  fi
}

# Where the package lies unpacked. Beside this script: it came out of one.
unpack() {
  local archive=$here/target/gpu-check/gpu-check.tar.xz stamp
  if [ -x "$here/java/bin/java" ]; then
    home=$here
    return
  fi
  if [ ! -f "$archive" ]; then
    echo "gpu-check: there is no $archive: run 'bench/gpu-check.sh pack' where Java and Maven are" >&2
    exit 4
  fi
  home=$work/gpu-check
  stamp=$(stat -c '%s %Y' "$archive")
  if [ "$(cat "$work/stamp" 2>/dev/null)" != "$stamp" ]; then
    rm -rf "$home"
    # Not every machine has xz; Python unpacks as well.
    tar -C "$work" -xJf "$archive" 2>/dev/null || python3 -m tarfile -e "$archive" "$work"
    echo "$stamp" >"$work/stamp"
  fi
}

if [ "$part" = pack ]; then
  pack
  exit
fi

if ! command -v python3 >/dev/null 2>&1; then
  echo "gpu-check: python3 was not found: install it" >&2
  exit 4
fi
work=${GPU_CHECK_WORK:-${TMPDIR:-/tmp}/fbnet-gpu-check-$(id -u)}
mkdir -p "$work"
SECONDS=0
unpack
exec python3 "$here/peers/check_parts.py" "$part" --home "$home" --work "$work" --spent "$SECONDS" "$@"
