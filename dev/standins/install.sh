#!/usr/bin/env bash
# Installs the stand-ins for AWS that the integration tests run against, each in a virtualenv of its own under .cache/ in the
# repository: LocalStack for SQS and ministack for DynamoDB, both without Docker. A second run takes no time: a stamp with the
# versions is written last. Where there is no Python 3.13, which LocalStack needs, ministack serves SQS too.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=$root/.cache/standins
mkdir -p "$cache"

# Two installs at once would write into one folder.
if command -v flock >/dev/null; then
	exec 9>"$cache/lock"
	flock 9
fi

ministack=(ministack==1.5.33)
# These versions are known to work together; later ones of moto and cbor2 are not.
localstack=("localstack-core[base-runtime]==4.14.0" moto-ext==5.1.54 cbor2==5.9.0 pyopenssl==25.3.0 cryptography==46.0.7)

# python MAJOR.MINOR prints an interpreter of that version, also one that pyenv has but has not put in the way.
python() {
	local candidate
	for candidate in "python$1" python3 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python3; do
		if "$candidate" -c "import sys, venv; sys.exit('%d.%d' % sys.version_info[:2] != '$1')" 2>/dev/null; then
			echo "$candidate"
			return
		fi
	done
	return 1
}

# environment NAME PYTHON PACKAGE… makes the virtualenv .cache/standins/NAME, unless it is there as asked for.
environment() {
	local name=$1 interpreter=$2
	shift 2
	local stamp=$cache/$name/.installed wanted
	wanted=$("$interpreter" --version)" $*"
	if [[ -f $stamp && $(<"$stamp") == "$wanted" ]]; then
		return
	fi
	echo "standins: installing $name (once)" >&2
	rm -rf "${cache:?}/$name"
	"$interpreter" -m venv "$cache/$name"
	"$cache/$name/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "$@"
	echo "$wanted" >"$stamp"
}

any=$(python 3.13 || python 3.12 || python 3.11 || python 3.10) || {
	echo "standins: no Python of 3.10 to 3.13 with venv was found" >&2
	exit 1
}
environment ministack "$any" "${ministack[@]}"

if interpreter=$(python 3.13); then
	environment localstack "$interpreter" "${localstack[@]}"
else
	echo "standins: there is no Python 3.13, which LocalStack needs: ministack serves SQS as well" >&2
	rm -rf "$cache/localstack"
fi
