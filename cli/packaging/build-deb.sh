#!/usr/bin/env bash
# Builds the Debian package and the one with its debug symbols, into target/debian.
# The same commit, toolchain and system give the same bytes: times are the commit's, and no path of this machine stays.
#   build-deb.sh [VERSION]   another version than that of Cargo.toml, for tests of an upgrade
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

command -v cargo-deb >/dev/null || cargo install --locked cargo-deb

SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
DATAVERSE_BACKUP_COMMIT=${DATAVERSE_BACKUP_COMMIT:-$(git describe --always --abbrev=12 --dirty)}
export SOURCE_DATE_EPOCH DATAVERSE_BACKUP_COMMIT
home=${CARGO_HOME:-$HOME/.cargo}
export RUSTFLAGS="--remap-path-prefix=$PWD=/source --remap-path-prefix=$home=/cargo"
export CFLAGS="-ffile-prefix-map=$PWD=/source -ffile-prefix-map=$home=/cargo"
version=${1:-$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)}

cargo build --release --locked -p dataverse-backup
made=target/packaging
rm -rf "$made"
mkdir -p "$made"
program=target/release/dataverse-backup
for shell in bash zsh fish; do "$program" completions "$shell" >"$made/$shell"; done
"$program" man >"$made/dataverse-backup.1"
{
    printf 'dataverse-backup (%s-1) unstable; urgency=medium\n\n' "$version"
    printf '  * See CHANGELOG.md of the project.\n\n'
    printf ' -- The maintainers of dataverse-backup <maintainers@dataverse-backup.invalid>  %s\n' \
        "$(date -u -R -d "@$SOURCE_DATE_EPOCH")"
} >"$made/changelog.Debian"
cargo deb --no-build -p dataverse-backup --deb-version "$version-1" --output target/debian/
ls -l target/debian/*.deb
