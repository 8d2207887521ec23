#!/usr/bin/env bash
# Runs each fuzz target of the module for the given time, several at once, and says which found something.
#   tools/fuzz.sh [time, 2m] [targets at once, 1]
set -euo pipefail
cd "$(dirname "$0")/.."
fuzztime=${1:-2m}
jobs=${2:-1}
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

targets=$(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./... | while read -r pkg; do
  [ -n "$pkg" ] || continue
  # `go test -list` prints the names and then a line that begins with "ok".
  go test -list '^Fuzz' "$pkg" | { grep '^Fuzz' || true; } | sed "s|^|$pkg |"
done)
if [ -z "$targets" ]; then
  echo 'fuzz: found no fuzz target' >&2
  exit 1
fi

one() {
  local log="$2/$(tr -c 'A-Za-z0-9\n' _ <<<"$3.$4")"
  # Bounded minimising: else a target can spend its whole time on making one interesting input shorter.
  if go test -run '^$' -fuzz "^$4\$" -fuzztime "$1" -fuzzminimizetime 20x -parallel 2 "$3" >"$log" 2>&1; then
    echo "ok   $3 $4 for $1: $(grep -o 'execs: [0-9]*' "$log" | tail -1)"
  elif grep -q '^ *context deadline exceeded$' "$log" && ! grep -q 'Failing input' "$log"; then
    # The fuzzer of Go 1.26 may call the end of its time a failure when a worker is late. A finding names its input.
    echo "ok   $3 $4 for $1: $(grep -o 'execs: [0-9]*' "$log" | tail -1), a worker was late at the end"
  else
    echo "FAIL $3 $4"
    cat "$log"
    touch "$2/failed"
  fi
}
export -f one

printf '%s\n' "$targets" | xargs -P "$jobs" -L 1 bash -c 'one "$0" "$1" "$2" "$3"' "$fuzztime" "$logs"
count=$(wc -l <<<"$targets")
if [ -e "$logs/failed" ]; then
  echo "fuzz: findings above, of $count targets" >&2
  exit 1
fi
echo "fuzz: $count targets, $fuzztime each, no finding"
