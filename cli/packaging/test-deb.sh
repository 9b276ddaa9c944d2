#!/usr/bin/env bash
# Installs, upgrades, removes and purges the package in a fresh Debian tree, and backs up the sample there.
# As root, with debootstrap, lintian and systemd-analyze; reaches Debian's mirror. Leaves nothing behind.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

fail() {
    printf 'Not as it should be: %s\n' "$1" >&2
    exit 1
}
step() { printf '\n--- %s\n' "$1"; }

[ "$(id -u)" = 0 ] || fail "this needs root, for a chroot"
for program in debootstrap lintian systemd-analyze; do
    command -v "$program" >/dev/null || fail "$program is missing: apt-get install debootstrap lintian systemd"
done

tree=$(mktemp -d)
chmod 755 "$tree"  # it becomes the root of an account
trap 'rm -rf --one-file-system "$tree"' EXIT

step "the units"
exposure=$(systemd-analyze security --offline=yes cli/packaging/systemd/dataverse-backup@.service | tail -n 1)
printf '%s\n' "$exposure"
[[ $exposure =~ [[:space:]]([0-9]+)\.([0-9]+)[[:space:]] ]] || fail "no exposure level was said"
[ $((BASH_REMATCH[1] * 10 + BASH_REMATCH[2])) -le 20 ] || fail "the service is exposed by more than 2.0"

step "the packages, one of an earlier version"
rm -rf target/debian
cli/packaging/build-deb.sh 0.0.1 >/dev/null
# cargo-deb removes what it made before.
mkdir -p target/older-debian
mv target/debian/dataverse-backup_0.0.1-1_*.deb target/older-debian/
cli/packaging/build-deb.sh
older=$(echo target/older-debian/dataverse-backup_0.0.1-1_*.deb)
newer=$(echo target/debian/dataverse-backup_0.1.*-1_*.deb)
lintian --fail-on error "$newer"

step "a fresh tree"
# shellcheck source=/dev/null
suite=$(. /etc/os-release && echo "${VERSION_CODENAME:?}")
debootstrap --variant=minbase --include=adduser,libssl3,ca-certificates,zlib1g "$suite" "$tree" >"$tree.log" ||
    { tail "$tree.log" >&2; fail "debootstrap"; }
rm -f "$tree.log"
cp "$older" "$newer" "$tree/tmp/"
inside() { chroot "$tree" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C "$@"; }
# backup EXIT_CODE ARGUMENTS...: as the account, with the configuration of the system.
backup() {
    local expected=$1 code=0
    shift
    printf '$ dataverse-backup %s\n' "$*"
    inside runuser -u dataverse-backup -- dataverse-backup "$@" || code=$?
    [ "$code" = "$expected" ] || fail "exit code $code, not $expected"
}

step "install the earlier version"
inside dpkg -i "/tmp/$(basename "$older")"
inside dataverse-backup --version
[ "$(stat -c %U:%a "$tree/var/lib/dataverse-backup")" != root:700 ] || fail "the state folder is root's"
for file in usr/share/man/man1/dataverse-backup.1.gz usr/share/bash-completion/completions/dataverse-backup \
    usr/share/doc/dataverse-backup/examples/config.ini usr/share/doc/dataverse-backup/THIRD-PARTY.txt lib/systemd/system/dataverse-backup-run.timer; do
    [ -s "$tree/$file" ] || fail "$file is missing"
done
readelf --sections --wide "$tree/usr/bin/dataverse-backup" | grep -q '\.dep-v0' ||
    fail "the program does not say what it is made of"

step "the sample"
cp -R examples/sample/files examples/sample/catalogue.jsonl "$tree/srv/"
mkdir "$tree/srv/copies"
inside chown dataverse-backup: /srv/copies
sed -e 's|catalogue.jsonl|/srv/catalogue.jsonl|' -e 's|sqlite:ledger.db|sqlite:/var/lib/dataverse-backup/ledger.db|' \
    -e 's|FileSystemDirectory: files|FileSystemDirectory: /srv/files|' -e 's|BackupDirectory: copies|BackupDirectory: /srv/copies|' \
    examples/sample/config.ini >"$tree/etc/dataverse-backup/config.ini"
backup 0 init
backup 0 check
backup 0 -v run

step "upgrade"
inside dpkg -i "/tmp/$(basename "$newer")"
backup 0 init
backup 0 run --rerun
backup 0 status

step "remove: ledger and configuration stay"
inside dpkg -r dataverse-backup
[ ! -e "$tree/usr/bin/dataverse-backup" ] || fail "the program is still there"
[ -s "$tree/var/lib/dataverse-backup/ledger.db" ] && [ -s "$tree/etc/dataverse-backup/config.ini" ] || fail "the ledger is gone"

step "install again, and purge"
inside dpkg -i "/tmp/$(basename "$newer")"
backup 0 status
inside dpkg -P dataverse-backup
[ -s "$tree/var/lib/dataverse-backup/ledger.db" ] || fail "a purge removed the ledger"
[ ! -e "$tree/lib/systemd/system/dataverse-backup-run.timer" ] || fail "a unit was left behind"

printf '\nThe package installs, upgrades and goes as it should.\n'
