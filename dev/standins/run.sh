#!/usr/bin/env bash
# run.sh COMMAND… runs the command with stand-ins for AWS: it starts LocalStack (SQS) and ministack (DynamoDB, S3) on free ports
# of 127.0.0.1, waits until they are ready, sets the variables below, runs the command, and stops what it started, also when
# the command fails or a signal comes. It exits as the command does.
#
# It sets PREDCACHE_TEST_SQS_ENDPOINT, PREDCACHE_TEST_DYNAMODB_ENDPOINT, PREDCACHE_TEST_S3_ENDPOINT and
# PREDCACHE_TEST_SQS_STANDIN (localstack or ministack) for the tests, and AWS_REGION and meaningless credentials for any
# SDK. PREDCACHE_STANDINS_SQS=ministack runs SQS on ministack too, as on a machine that can't have LocalStack. PREDCACHE_STANDINS_KEEP_LOG=1 keeps their logs.
set -euo pipefail

if [[ $# -eq 0 ]]; then
	echo "usage: $0 COMMAND…" >&2
	exit 2
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=$(cd "$here/../.." && pwd)/.cache/standins
"$here/install.sh"

work=$(mktemp -d "$cache/run.XXXXXX")
pids=()
command_pid=

# tree prints a process and its descendants: go test leaves the test's own process behind when it is terminated.
tree() {
	[[ -n $1 ]] || return 0
	local child
	echo "$1"
	for child in $(cat "/proc/$1/task/$1/children" 2>/dev/null || pgrep -P "$1" 2>/dev/null || true); do
		tree "$child"
	done
}

# end terminates processes, and kills those that are still there 5 seconds later.
end() {
	local pid i
	for pid; do
		kill -TERM "$pid" 2>/dev/null || true
	done
	for pid; do
		for ((i = 0; i < 50; i++)); do
			kill -0 "$pid" 2>/dev/null || break
			sleep 0.1
		done
		kill -KILL "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
}

# stop ends the stand-ins by the pids that were started here, and no other process.
stop() {
	local status=$?
	trap - EXIT
	trap '' INT TERM HUP
	# shellcheck disable=SC2046 # a pid a word
	end $(tree "$command_pid")
	end "${pids[@]}"
	if [[ ${PREDCACHE_STANDINS_KEEP_LOG:-} == 1 ]]; then
		echo "standins: logs are in $work" >&2
	else
		rm -rf "$work"
	fi
	exit "$status"
}
trap stop EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# ports prints two free ports. Something else may take one before it is used; then the start fails and says so.
ports() {
	"$cache/ministack/bin/python" -c '
import socket
held = [socket.socket() for _ in range(2)]
for s in held:
    s.bind(("127.0.0.1", 0))
print(*[s.getsockname()[1] for s in held])'
}
read -r sqs_port dynamodb_port < <(ports)

# ready NAME PID URL waits for a health page.
ready() {
	local i
	for ((i = 0; i < 600; i++)); do
		if "$cache/ministack/bin/python" - "$3" <<-'PY' 2>/dev/null; then
			import sys, urllib.request
			urllib.request.build_opener(urllib.request.ProxyHandler({})).open(sys.argv[1], timeout=2).read()
		PY
			return
		fi
		if ! kill -0 "$2" 2>/dev/null; then
			break
		fi
		sleep 0.1
	done
	echo "standins: $1 did not start; the end of its log:" >&2
	tail -n 20 "$work/$1.log" >&2
	exit 1
}

# Their own command binds every address; hypercorn by hand binds the loopback one alone.
ministack() {
	SERVICES=$2 GATEWAY_PORT=$1 MINISTACK_HOST=127.0.0.1 exec "$cache/ministack/bin/hypercorn" ministack.app:app --bind "127.0.0.1:$1"
}
localstack() {
	export GATEWAY_SERVER=hypercorn GATEWAY_LISTEN=127.0.0.1:$1 LOCALSTACK_HOST=127.0.0.1:$1 SERVICES=sqs EAGER_SERVICE_LOADING=1
	export DISABLE_EVENTS=1 SKIP_SSL_CERT_DOWNLOAD=1 DNS_ADDRESS=0 SQS_ENDPOINT_STRATEGY=path SQS_DISABLE_CLOUDWATCH_METRICS=1
	export LS_LOG=warn LOCALSTACK_VOLUME_DIR=$work/localstack
	exec "$cache/localstack/bin/python" -m localstack.runtime.main
}

mkdir "$work/localstack"
dynamodb_url=http://127.0.0.1:$dynamodb_port
sqs_url=http://127.0.0.1:$sqs_port
if [[ -d $cache/localstack && ${PREDCACHE_STANDINS_SQS:-} != ministack ]]; then
	standin=localstack
	(cd "$work" && localstack "$sqs_port") >"$work/localstack.log" 2>&1 </dev/null &
	pids+=($!)
else
	standin=ministack
	sqs_url=$dynamodb_url
fi
# ministack's S3 sends its events to an SQS in the same process, so it runs one in any case.
(cd "$work" && ministack "$dynamodb_port" dynamodb,s3,sqs) >"$work/ministack.log" 2>&1 </dev/null &
pids+=($!)
ready ministack "$!" "$dynamodb_url/_ministack/health"
if [[ $standin == localstack ]]; then
	ready localstack "${pids[0]}" "$sqs_url/_localstack/health"
fi

export PREDCACHE_TEST_SQS_ENDPOINT=$sqs_url PREDCACHE_TEST_DYNAMODB_ENDPOINT=$dynamodb_url
export PREDCACHE_TEST_S3_ENDPOINT=$dynamodb_url PREDCACHE_TEST_SQS_STANDIN=$standin
export AWS_REGION=eu-west-1 AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test
unset AWS_PROFILE AWS_SESSION_TOKEN

# In the background, so that a signal is handled at once; with this shell's standard input all the same.
"$@" <&0 &
command_pid=$!
status=0
wait "$command_pid" || status=$?
command_pid=
exit "$status"
