#!/bin/sh
# Installs what the tests need beyond Python, and with --bench what the benchmarks need too (Debian and its kin).
# --check installs nothing: it names what is missing and exits 1.
set -eu
mode=install
wanted="node:nodejs npm:npm luac:lua5.4 lua:lua5.4 nginx:nginx-light curl:curl ffmpeg:ffmpeg promtool:prometheus systemd-analyze:systemd chromium:chromium"
for argument in "$@"; do
    case $argument in
        --check) mode=check ;;
        --bench) wanted="$wanted rabbitmq-server:rabbitmq-server valgrind:valgrind wrk:wrk" ;;
        *) echo "usage: $0 [--check] [--bench]" >&2; exit 2 ;;
    esac
done

# Debian's alternatives give lua and luac a version in their name as well.
there() {
    for name in "$1" "${1}5.4" "/usr/sbin/$1"; do
        command -v "$name" >/dev/null 2>&1 && return 0
    done
    return 1
}

missing=
for pair in $wanted; do
    package=${pair#*:}
    there "${pair%%:*}" || case " $missing " in *" $package "*) ;; *) missing="$missing $package" ;; esac
done
[ -n "$missing" ] || exit 0

if [ "$mode" = check ]; then
    echo "foyer: system packages are missing:$missing (infra/system-packages.sh installs them on Debian)" >&2
    exit 1
fi
if ! command -v apt-get >/dev/null 2>&1; then
    echo "foyer: install these by hand, there is no apt-get here:$missing" >&2
    exit 1
fi
become=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null 2>&1 || { echo "foyer: as root: apt-get install$missing" >&2; exit 1; }
    become="sudo -n"
fi
echo "foyer: installing$missing" >&2
export DEBIAN_FRONTEND=noninteractive
quietly() {
    log=$(mktemp)
    if "$@" >"$log" 2>&1 </dev/null; then rm -f "$log"; else tail -n 20 "$log" >&2; rm -f "$log"; return 1; fi
}
# A service that Debian starts on installation would listen on every interface.
if [ -z "$become" ] && [ ! -e /usr/sbin/policy-rc.d ] && [ -d /usr/sbin ]; then
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod +x /usr/sbin/policy-rc.d
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
fi
quietly $become apt-get install -y --no-install-recommends $missing ||
    { quietly $become apt-get update && quietly $become apt-get install -y --no-install-recommends $missing; } ||
    { echo "foyer: apt-get could not install:$missing" >&2; exit 1; }
