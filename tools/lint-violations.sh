#!/usr/bin/env bash
# Shows that the linter's configuration still catches what it is there to catch: see testdata/violations.go.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=$(mktemp -d internal/violations-XXXXXX)
trap 'rm -rf "$dir"' EXIT
cp tools/testdata/violations.go "$dir/violations.go"
report=$dir/report.txt
go tool -modfile=tools/go.mod golangci-lint run --max-issues-per-linter 0 --max-same-issues 0 --uniq-by-line=false \
  --output.text.print-issued-lines=false "./$dir/" >"$report" || true
missed=0 seen=0
while IFS=: read -r line text; do
  for linter in ${text##*// want }; do
    if grep -qE "violations\.go:$line:.*\($linter\)$" "$report"; then
      seen=$((seen + 1))
    else
      echo "line $line: $linter said nothing about: $(sed 's/ *\/\/ want.*//; s/^[[:space:]]*//' <<<"$text")"
      missed=$((missed + 1))
    fi
  done
done < <(grep -n '// want ' "$dir/violations.go")
echo "lint violations: $seen caught, $missed missed"
[ "$missed" -eq 0 ] && [ "$seen" -gt 0 ]
