#!/usr/bin/env bash
# Writes what the program is made of as CycloneDX 1.5, in JSON, to the standard output: each crate that is built into
# it or builds it, with its licence, its digest in Cargo.lock, and what it needs. The same commit gives the same bytes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
target=$(rustc -vV | sed -n 's/^host: //p')
# Lines "NAME VERSION SHA256" of Cargo.lock.
digests=$(awk -F'"' '/^name = /{name=$2} /^version = /{version=$2} /^checksum = /{print name, version, $2}' Cargo.lock)
# Lines "NAME vVERSION …". `cargo metadata` also has what is in the lock for features that nobody asked for.
built=$(cargo tree --locked -p dataverse-backup --edges normal,build --target "$target" --prefix none)

cargo metadata --format-version 1 --locked --filter-platform "$target" |
    jq --sort-keys --arg digests "$digests" --arg built "$built" --argjson epoch "$SOURCE_DATE_EPOCH" \
        --from-file cli/packaging/sbom.jq
