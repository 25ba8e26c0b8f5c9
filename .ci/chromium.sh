#!/bin/sh
# Makes sure that there is a Chromium for the browser tests. Never fails: what it could not do it says.
set -u

[ -n "${WORKBENCH_CHROMIUM:-}" ] && exit 0
for name in chromium chromium-browser google-chrome google-chrome-stable; do
    if command -v "$name" >/dev/null 2>&1; then
        exit 0
    fi
done

if command -v apt-get >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ]; then
        as_root=""
    elif command -v sudo >/dev/null 2>&1 && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
        as_root="sudo"
    else
        as_root="none"
    fi
    if [ "$as_root" != none ]; then
        echo "Installing Chromium for the browser tests"
        log=$(mktemp)
        for attempt in 1 2 3; do
            if $as_root apt-get update -qq >"$log" 2>&1 &&
                $as_root env DEBIAN_FRONTEND=noninteractive \
                    apt-get install -y -qq --no-install-recommends chromium >>"$log" 2>&1; then
                rm -f "$log"
                exit 0
            fi
            sleep $((attempt * 5))
        done
        tail -n 5 "$log" >&2
        rm -f "$log"
    fi
fi

echo "No Chromium was found: the browser tests will be skipped." >&2
echo "Install it (Debian: apt-get install chromium; macOS: brew install --cask chromium)," >&2
echo "or name it in WORKBENCH_CHROMIUM, and run again." >&2
exit 0
