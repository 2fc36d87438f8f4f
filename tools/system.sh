#!/bin/bash
# Installs the system programs that tests use, where it may; a test whose program is missing is skipped with a reason.
set -euo pipefail

say() { echo "system: $*" >&2; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; elif sudo -n true 2>/dev/null; then sudo -n "$@"; else return 1; fi
}

# program:package. pypy3 stands for the oldest Python that a node may have, faketime for wrong clocks.
readonly NEEDED="git:git ssh:openssh-client sshd:openssh-server rsync:rsync openssl:openssl pypy3:pypy3 faketime:faketime
    zsh:zsh fish:fish tcsh:tcsh"

packages=()
for pair in $NEEDED; do
    PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v "${pair%%:*}" >/dev/null || packages+=("${pair##*:}")
done
if [ ${#packages[@]} = 0 ]; then exit 0; fi

if ! command -v apt-get >/dev/null || ! as_root true; then
    say "not installed, tests that need them are skipped: ${packages[*]}"
    exit 0
fi

# The tests start their own servers: none of the machine's own may start because of them.
guard=/usr/sbin/policy-rc.d
if [ ! -e "$guard" ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$guard" >/dev/null
    as_root chmod 755 "$guard"
    trap 'as_root rm -f "$guard"' EXIT
fi

say "installing ${packages[*]}"
as_root apt-get update -qq || say "the package lists could not be renewed"
for package in "${packages[@]}"; do
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >/dev/null </dev/null \
        || say "$package cannot be installed; tests that need it are skipped"
done
