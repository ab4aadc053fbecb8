# What the examples share; each sources this file. NEXO_PORT says where the server listens (default 7654).

set -euo pipefail
NEXO_PORT=${NEXO_PORT:-7654}
example=$(basename "$(dirname "$(realpath "$0")")")
began=$SECONDS
work=$(mktemp -d "${TMPDIR:-/tmp}/nexo-$example.XXXXXX")

nexo() { redis-cli -h 127.0.0.1 -p "$NEXO_PORT" -e "$@"; } # -e: an error reply is an exit status and goes to stderr

fail() {
	echo "$example: FAILED: $*" >&2
	exit 1
}

say() { echo "$example: $*"; }

expect() { # expect WHAT WANT GOT
	[ "$2" = "$3" ] || fail "$1: want '$2', got '$3'"
}

# Background jobs get process groups of their own (set -m in the example that needs it), so that a worker goes together
# with the redis-cli it is waiting on.
groups=()
clean() {
	local status=$? group
	for group in "${groups[@]}"; do kill -KILL -- "-$group" 2>/dev/null || true; done
	rm -rf "$work"
	return $status
}
trap clean EXIT

passed() { say "ok ($((SECONDS - began)) s)"; }
