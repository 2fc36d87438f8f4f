#!/bin/bash
# Makes .venv with everything that working on afield needs. Asks only for Python 3.11 or newer; safe to repeat.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly WANTED_UV="0.9.0"

say() { echo "setup: $*" >&2; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; elif sudo -n true 2>/dev/null; then sudo -n "$@"; else return 1; fi
}

new_enough() { [ -x "$1" ] && printf '%s\n' "$WANTED_UV" "$("$1" --version | cut -d' ' -f2)" | sort -C -V; }

# Debian splits the part of Python that makes environments off into a package of its own.
private_uv() {
    if ! python3 -m venv .venv-tools >/dev/null 2>&1; then
        say "python3-venv is missing, installing it"
        as_root apt-get update -qq && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null \
            || { say "cannot make an environment; try: apt-get install python3-venv"; exit 1; }
        python3 -m venv --clear .venv-tools
    fi
    .venv-tools/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
}

find_uv() {
    local candidate
    for candidate in "$(command -v uv || true)" .venv-tools/bin/uv; do
        if new_enough "$candidate"; then echo "$candidate"; return; fi
    done
    say "no uv on the PATH, making a private one in .venv-tools"
    private_uv >&2
    echo .venv-tools/bin/uv
}

uv=$(find_uv)
if ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    "$uv" venv --quiet --clear --python '>=3.11' .venv
fi
"$uv" pip install --quiet --python .venv/bin/python --compile-bytecode --constraint constraints.txt \
    --build-constraint constraints.txt --group dev --editable .
.venv/bin/python -m compileall -q src
touch .venv/.ready
say "ready: $(.venv/bin/python --version), $("$uv" --version | cut -d' ' -f1,2)"
