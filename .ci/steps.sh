# What .ci/run and .ci/full share. Sourced, from the repository's root.

VENV="${VENV:-$HOME/.cache/agency-api/venv}"
export PATH="$VENV/bin:$PATH:/usr/sbin:/sbin"
# For the tools of AWS: no account, no telemetry, no questions to the network.
export AWS_DEFAULT_REGION=eu-central-1 AWS_EC2_METADATA_DISABLED=true SAM_CLI_TELEMETRY=0

# step NAME COMMAND…: its heading, the command, its time. The first that fails ends the run.
step() {
    local name=$1 from=$SECONDS
    shift
    printf '\n== %s\n' "$name"
    "$@"
    printf -- '-- %s: %d s\n' "$name" $((SECONDS - from))
}

# skip NAME WHY: a step that cannot be taken here.
skip() {
    printf '\n== %s\n-- skipped: %s\n' "$1" "$2"
}

# Installs what the steps need and the machine lacks.
tools() {
    if ! python3 -c 'import ensurepip' 2>/dev/null || ! command -v objdump >/dev/null; then
        apt-get update -qq
        apt-get install -y -qq python3-venv binutils
    fi
    [ -x "$VENV/bin/pip" ] || python3 -m venv "$VENV"
    "$VENV/bin/pip" install --quiet --disable-pip-version-check -r .ci/requirements.txt
}

# need PROGRAM:PACKAGE…: installs those Debian packages whose programs are not there, without starting any of them, and
# prints the ones that cannot be had.
need() {
    local lacking
    lacking=$(lacking "$@")
    if [ -n "$lacking" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        install $lacking || true
    fi
    lacking "$@" | paste -sd' '
}

lacking() {
    local each
    for each in "$@"; do command -v "${each%:*}" >/dev/null || echo "${each#*:}"; done
}

# Debian starts a server as it is installed, unless this file says no; and with the machine, unless it is disabled.
install() (
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        trap 'rm -f $policy' EXIT
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod +x $policy
    fi
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@"; } >/dev/null
    if command -v systemctl >/dev/null; then systemctl --quiet disable named knot nsd 2>/dev/null || true; fi
)
