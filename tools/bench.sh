#!/usr/bin/env bash
# Runs the micro-benchmarks and keeps what they print, with the commit and the machine in front, so that
# `go tool -modfile=tools/go.mod benchstat OLD NEW` compares two runs.
set -euo pipefail
cd "$(dirname "$0")/.."
pattern=$1 benchtime=$2 runs=$3 results=$4
mkdir -p "$results"
commit=$(git rev-parse --short HEAD)
[ -z "$(git status --porcelain)" ] || commit=$commit-dirty
out=$results/micro-$commit.txt
{
  echo "commit: $commit"
  echo "date: $(date -u +%Y-%m-%dT%H:%M:%SZ)"
  echo "machine: $(nproc) cores, $(awk -F ': ' '/model name/ { print $2; exit }' /proc/cpuinfo), $(uname -sr)"
  echo "go: $(go env GOVERSION)"
} | tee "$out"
go test -run '^$' -bench "$pattern" -benchmem -benchtime "$benchtime" -count "$runs" -timeout 60m ./... |
  grep -v 'no test files' | tee -a "$out"
grep -q '^Benchmark' "$out" || { echo 'bench: no benchmark ran' >&2; exit 1; }
echo "bench: kept in $out"
