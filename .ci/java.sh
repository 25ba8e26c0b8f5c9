#!/bin/sh
# Makes sure that there is a JVM for the test of Spark. Never fails: what it could not do it says.
set -u

command -v java >/dev/null 2>&1 && exit 0
if command -v apt-get >/dev/null 2>&1; then
    as_root=""
    [ "$(id -u)" = 0 ] || as_root="sudo -n"
    echo "Installing a JVM for the test of Spark"
    $as_root apt-get update -qq >/dev/null 2>&1
    $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends default-jre-headless >/dev/null 2>&1 && exit 0
fi

echo "No JVM was found: the test of a Spark cluster will be skipped." >&2
echo "Install Java 17 or later (Debian: apt-get install default-jre-headless), and run again." >&2
exit 0
