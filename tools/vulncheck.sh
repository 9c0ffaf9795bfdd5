#!/usr/bin/env bash
# vulncheck.sh GOVULNCHECK_VERSION VULNDB_VERSION looks for known vulnerabilities in what the worker calls, by a pinned copy of
# the Go vulnerability database, so that it needs nothing but a module proxy. It fails on modules; findings in the standard
# library, which a newer toolchain mends, are listed.
set -euo pipefail

bin=${GOBIN:?}
database=$PWD/.cache/vulndb-$2
if [[ ! -x $bin/govulncheck-$1 ]]; then
	go install "golang.org/x/vuln/cmd/govulncheck@$1"
	mv "$bin/govulncheck" "$bin/govulncheck-$1"
fi
if [[ ! -d $database ]]; then
	source=$(cd "$(mktemp -d)" && go mod download -json "golang.org/x/vulndb@$2" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
	rm -rf "$database.new"
	(cd "$source" && GOFLAGS=-mod=mod go run ./cmd/indexdb -out "$database.new" -vulns "$source/data/osv") >&2
	mv "$database.new" "$database"
fi
report=$(mktemp)
trap 'rm -f "$report"' EXIT
"$bin/govulncheck-$1" -db "file://$database" -format json ./... >"$report"
python3 - "$report" <<'PYTHON'
import json, sys

decoder, text = json.JSONDecoder(), open(sys.argv[1]).read()
position, modules, stdlib = 0, set(), set()
while position < len(text.rstrip()):
    message, position = decoder.raw_decode(text, position)
    while position < len(text) and text[position].isspace():
        position += 1
    finding = message.get("finding")
    if finding and "function" in finding["trace"][0]:  # only what is called
        frame = finding["trace"][0]
        line = f'{finding["osv"]}: {frame["module"]} {frame.get("version", "")}, mended in {finding.get("fixed_version", "no version yet")}'
        (stdlib if frame["module"] == "stdlib" else modules).add(line)
for line in sorted(stdlib):
    print("vulncheck: standard library:", line)
for line in sorted(modules):
    print("vulncheck: module:", line)
print(f"vulncheck: {len(modules)} findings in modules, {len(stdlib)} in the standard library")
sys.exit(1 if modules else 0)
PYTHON
