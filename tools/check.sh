#!/bin/bash
# Runs every check, also after one has failed, and names those that failed at the end.
set -uo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"

code=(src tests tools examples)
typed=(src tests tools)
if [ -d bench ]; then code+=(bench); typed+=(bench); fi

failed=()
check() {
    local name=$1 output; shift
    if output=$("$@" 2>&1); then
        echo "ok      $name"
    else
        printf '%s\n\nFAILED  %s\n' "$output" "$name"
        failed+=("$name")
    fi
}

check format   ruff format --check --output-format concise "${code[@]}"
check lint     ruff check --output-format concise "${code[@]}"
check types    mypy "${typed[@]}"
check imports  lint-imports
check sizes    python tools/sizes.py
check links    python tools/links.py
check py38     python tools/py38.py

if [ ${#failed[@]} -gt 0 ]; then echo "check: failed: ${failed[*]}"; exit 1; fi
echo "check: all fine"
