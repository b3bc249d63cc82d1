# Reads what ptxas -v says and prints one line a kernel and architecture; a spill ends the build.
BEGIN { printf "%-52s %-7s %9s %7s %7s %7s\n", "kernel", "arch", "registers", "shared", "stack", "spills" }
/Compiling entry function/ { split($0, part, "'"); kernel = part[2]; arch = part[4] }
/bytes stack frame/ {
  for (i = 1; i <= NF; i++) if ($i == "bytes") { count++; value[count] = $(i - 1) }
  stack = value[1]; spills = value[2] + value[3]; count = 0
}
/Used [0-9]+ registers/ {
  shared = 0
  for (i = 1; i <= NF; i++) { if ($i == "Used") registers = $(i + 1); if ($i == "smem" || $i == "smem,") shared = $(i - 2) }
  printf "%-52s %-7s %9d %7d %7d %7d\n", kernel, arch, registers, shared, stack, spills
  lines++; seen[kernel] = 1; if (registers > most) { most = registers; hungriest = kernel " on " arch }
  if (spills > 0) bad = bad "\n  " kernel " " arch
}
END {
  if (bad) { print "kernels: registers are spilled in" bad; exit 1 }
  for (k in seen) kernels++
  print "kernels: " kernels " kernels, " lines " with their architectures; no register is spilled; most registers: " most " (" hungriest "); the table is target/registers.txt" > "/dev/stderr"
}
