#!/usr/bin/env bash
# Builds the Debian package and the one with its debug symbols, into target/debian.
# The program lists in itself what it is made of (`cargo audit bin` and others read it).
#   build-deb.sh [VERSION]   another version than that of Cargo.toml, for tests of an upgrade
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=cli/packaging/build-env.sh
. cli/packaging/build-env.sh

version=${1:-$version}
cargo auditable build --release --locked -p dataverse-backup --target "$target"
write_helpers "target/$target/release/dataverse-backup"
{
    printf 'dataverse-backup (%s-1) unstable; urgency=medium\n\n' "$version"
    printf '  * See CHANGELOG.md of the project.\n\n'
    printf ' -- The maintainers of dataverse-backup <maintainers@dataverse-backup.invalid>  %s\n' \
        "$(date -u -R -d "@$SOURCE_DATE_EPOCH")"
} >"$made/changelog.Debian"
cargo deb --no-build --target "$target" -p dataverse-backup --deb-version "$version-1" --output target/debian/
ls -l target/debian/*.deb
