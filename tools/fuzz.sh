#!/usr/bin/env bash
# Runs each fuzz target of the module for the given time, one after another. Exits non-zero on the first finding.
set -euo pipefail
cd "$(dirname "$0")/.."
fuzztime=${1:-2m}
count=0
while read -r pkg; do
  # `go test -list` prints the names and then a line that begins with "ok".
  for target in $(go test -list '^Fuzz' "$pkg" | grep '^Fuzz' || true); do
    echo "== $pkg $target for $fuzztime"
    # Bounded minimising: else a target can spend its whole time on making one interesting input shorter.
    go test -run '^$' -fuzz "^${target}\$" -fuzztime "$fuzztime" -fuzzminimizetime 20x "$pkg"
    count=$((count + 1))
  done
done < <(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./...)
if [ "$count" -eq 0 ]; then
  echo 'fuzz: found no fuzz target' >&2
  exit 1
fi
echo "fuzz: $count targets, $fuzztime each, no finding"
