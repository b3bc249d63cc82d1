#!/usr/bin/env bash
# The check for a real device: packs what a machine with a GPU, CUDA, cuDNN and PyTorch but no
# network and no Java needs, and runs there in parts. See docs/gpu-check.md.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: bench/gpu-check.sh pack
       bench/gpu-check.sh contract|sanitize|bandwidth|step|compile|all|report [--out DIR] [...]

pack       builds, and puts all that must travel into bench/target/gpu-check/gpu-check.tar.xz
contract   the contract suite on the GPU
sanitize   compute-sanitizer over every operation and over a small supernet's steps
bandwidth  each kernel against a copy within the device
step       our supernet steps, and the same in PyTorch eager
compile    the same under torch.compile
all        every part, each within its own limit of 450 seconds
report     folds the results into report.json and report.md (every part does so too)

Each part takes --help.
TEXT
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
part=${1:-}
case $part in
  pack | contract | sanitize | bandwidth | step | compile | all | report) shift ;;
  -h | --help | help) usage; exit 0 ;;
  *) usage >&2; exit 2 ;;
esac

is25() { [ -x "$1/bin/jlink" ] && "$1/bin/java" -version 2>&1 | head -n 1 | grep -q '"25'; }

pack() {
  local root target stage jdk="" candidate junit size limit=$((60 << 20))
  root=$(cd "$here/.." && pwd)
  for candidate in "${JAVA_HOME:-}" /usr/lib/jvm/*25* "$HOME"/.sdkman/candidates/java/25*; do
    if is25 "$candidate"; then jdk=$candidate; break; fi
  done
  if [ -z "$jdk" ]; then
    echo "gpu-check: JDK 25 was not found: install one, or set JAVA_HOME to it" >&2
    exit 4
  fi
  target=$root/bench/target/gpu-check
  stage=$target/gpu-check
  rm -rf "$target"
  mkdir -p "$stage/lib" "$stage/test" "$stage/peers"
  # With the build, the libraries of nas that the parts need.
  (cd "$root" && mvn -q -B -DskipTests package dependency:copy-dependencies -pl bench -am \
    -DincludeScope=runtime -DoutputDirectory="$stage/lib" \
    -DincludeGroupIds=com.fasterxml.jackson.core,com.fasterxml.jackson.dataformat,org.yaml,org.bytedeco)
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

  "$jdk/bin/jlink" --output "$stage/java" --strip-debug --no-header-files --no-man-pages \
    --add-modules java.base,java.logging,java.management,java.xml,jdk.unsupported,jdk.incubator.vector
  # Where jlink was built without objcopy, the libraries keep their symbols.
  find "$stage/java" -name '*.so' -exec strip --strip-unneeded {} \; 2>/dev/null || true

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
  (cd "$here/peers" && python3 -m unittest -q)

  tar -C "$target" --sort=name --owner=0 --group=0 -cf - gpu-check | xz -6 -T2 \
    >"$target/gpu-check.tar.xz"
  rm -rf "$stage"
  size=$(stat -c %s "$target/gpu-check.tar.xz")
  echo "bench/target/gpu-check/gpu-check.tar.xz: $((size / 1048576)) MiB ($size bytes)"
  if [ "$size" -gt "$limit" ]; then
    echo "gpu-check: more than 60 MiB, which leaves too little of the 64 MiB that may travel" >&2
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
    # What another package measured does not belong beside what this one will.
    rm -rf "$home" "$work/results"
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
  out=gpu-check
  [ "${1:-}" != --out ] || out=$2
  mkdir -p "$out"
  printf '{"part": "%s", "status": "skipped", "reason": "python3 was not found", "seconds": 0}\n' \
    "$part" | tee "$out/$part.json"
  exit 0
fi
work=${GPU_CHECK_WORK:-${TMPDIR:-/tmp}/fbnet-gpu-check-$(id -u)}
mkdir -p "$work"
unpack
limit=475
[ "$part" != all ] || limit=2400
exec timeout --kill-after=10 "$limit" \
  python3 "$here/peers/check_parts.py" "$part" --home "$home" --work "$work" "$@"
