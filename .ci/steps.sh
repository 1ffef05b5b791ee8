# Shared by the scripts in .ci. Sourced from the repository's root.

VENV="${VENV:-$HOME/.cache/agency-api/venv}"
export PATH="$VENV/bin:$PATH:/usr/sbin:/sbin"
# The AWS tools need no account and send no telemetry.
export AWS_DEFAULT_REGION=eu-central-1 AWS_EC2_METADATA_DISABLED=true SAM_CLI_TELEMETRY=0

# step NAME COMMAND…: prints the name, runs the command and prints its duration. `set -e` of the caller ends the run at
# the first command that fails.
step() {
    local name=$1 from=$SECONDS
    shift
    printf '\n== %s\n' "$name"
    "$@"
    printf -- '-- %s: %d s\n' "$name" $((SECONDS - from))
}

# skip NAME REASON: reports a step that does not run. Only for data that a machine without network cannot have; a missing
# tool is an error.
skip() {
    printf '\n== %s\n-- skipped: %s\n' "$1" "$2"
}

# fail MESSAGE: ends the script with one line and status 1.
fail() {
    printf 'error: %s\n' "$1" >&2
    exit 1
}

# free_port PORT: fails if a server is at this port of 127.0.0.1, because a step would take it for the one that it starts.
free_port() {
    ! (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null || fail "$(basename "$0"): port $1 is in use"
}

# isolated COMMAND…: runs the command in namespaces of its own and with a temporary $TMPDIR. No packet reaches the machine's
# network, and the kernel ends the command's processes with this script, however it ends. Needs ip:iproute2, setpriv:util-linux
# and unshare:util-linux.
isolated() {
    local namespaces=(--net --pid --fork --kill-child)
    [ "$(id -u)" = 0 ] || namespaces+=(--user --map-root-user)
    unshare "${namespaces[@]}" true 2>/dev/null ||
        fail "$(basename "$0"): this user cannot create namespaces (unshare ${namespaces[*]})"
    TMPDIR=$(mktemp -d)
    export TMPDIR
    trap 'rm -rf "$TMPDIR"' EXIT
    # The end of this script ends unshare, and that ends its child, the init process of the namespace.
    # shellcheck disable=SC2016 # the inner shell expands $@
    setpriv --pdeathsig KILL unshare "${namespaces[@]}" bash -euc 'ip link set lo up; exec "$@"' bash "$@"
}

# Installs the Python tools, with the versions of requirements.txt, into $VENV.
tools() {
    require objdump:binutils curl:curl
    python_tools "$VENV" .ci/requirements.txt
}

# python_tools DIRECTORY FILE: installs the packages that the file requires into the virtual environment in the directory.
python_tools() {
    require python3:python3
    python3 -c 'import ensurepip' 2>/dev/null || apt_install python3-venv || fail "missing Debian package: python3-venv"
    [ -x "$1/bin/pip" ] || python3 -m venv "$1"
    "$1/bin/pip" install --quiet --disable-pip-version-check -r "$2"
}

# require PROGRAM:PACKAGE…: installs the Debian packages of the programs that are missing. Fails if a program is still
# missing afterwards.
require() {
    local packages
    packages=$(missing "$@")
    if [ -n "$packages" ]; then
        # shellcheck disable=SC2086 # one package a word
        apt_install $packages || true
    fi
    packages=$(missing "$@")
    [ -z "$packages" ] || fail "$(basename "$0"): missing Debian packages: ${packages//$'\n'/ }"
}

# The packages of the programs that are not on the PATH, one a line.
missing() {
    local each
    for each in "$@"; do command -v "${each%%:*}" >/dev/null || echo "${each#*:}"; done | sort -u
}

# Installs Debian packages, without starting the servers in them. Needs root.
apt_install() (
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then return 1; fi
    # Debian starts a server when it installs it, unless this file forbids it, and at boot unless it is disabled.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        trap 'rm -f $policy' EXIT
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod +x $policy
    fi
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@"; } >/dev/null
    if command -v systemctl >/dev/null; then systemctl --quiet disable named knot nsd docker caddy 2>/dev/null || true; fi
)

# ignored_tests ARGUMENTS…: runs the ignored tests that these arguments of `cargo test` select. Fails if they select none,
# because `cargo test` passes then.
ignored_tests() {
    local count
    count=$(cargo test "$@" -- --ignored --list | grep -c ': test$' || true)
    [ "$count" -gt 0 ] || fail "no ignored test: cargo test $*"
    cargo test "$@" -- --ignored
}
