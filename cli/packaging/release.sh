#!/usr/bin/env bash
# Makes what a release consists of, from the commit that is checked out, into target/release-VERSION: the Debian package
# and its debug symbols, the static program, the source, the list of parts (SBOM), and SHA256SUMS of them.
#   release.sh [--twice]   --twice makes all of it again, in another folder, and compares every byte
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

fail() {
    printf '%s\n' "$1" >&2
    exit 1
}
step() { printf '\n== %s ==\n' "$1"; }

case ${1:-} in
    '') times=1 ;;
    --twice) times=2 ;;
    *) fail "release.sh [--twice]" ;;
esac
[ -z "$(git status --porcelain)" ] || fail "commit what you have first: a release is of a commit"
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
commit=$(git rev-parse HEAD)
if tag=$(git describe --exact-match --match 'v*' 2>/dev/null); then
    [ "$tag" = "v$version" ] || fail "the tag is $tag, and Cargo.toml says $version"
    grep -q "^## \[$version\]" CHANGELOG.md || fail "CHANGELOG.md says nothing of $version"
else
    echo "a trial: the commit has no tag"
fi
out=$PWD/target/release-$version
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

step "each crate can be packaged by itself"
cargo package --workspace --exclude dvb-testkit --exclude dvb-examples --no-verify --locked \
    --target-dir "$work/crates" 2>&1 | tee "$work/packaged"
! grep -q '^warning' "$work/packaged" || fail "cargo package warns"

# make_in CLONE OUT: everything, in a fresh clone, so that no file that git does not know takes part.
make_in() {
    git clone --quiet --no-local . "$1"
    git -C "$1" checkout --quiet --detach "$commit"
    (
        cd "$1"
        unset CARGO_TARGET_DIR
        cli/packaging/build-deb.sh
        cli/packaging/build-static.sh
        mkdir -p "$2"
        mv target/debian/*.deb target/debian/*.ddeb target/static/*.tar.gz "$2/"
        cli/packaging/sbom.sh >"$2/dataverse-backup-$version.cdx.json"
        git archive --prefix="dataverse-backup-$version/" HEAD | gzip --no-name --best >"$2/dataverse-backup-$version-source.tar.gz"
        cd "$2"
        sha256sum -- * >SHA256SUMS
    )
    rm -rf "$1"
}

step "build"
rm -rf "$out"
make_in "$work/source" "$out"
if [ "$times" = 2 ]; then
    step "build again"
    make_in "$work/somewhere/else" "$work/again"
    diff "$out/SHA256SUMS" "$work/again/SHA256SUMS" || fail "the second build has other bytes"
    echo "two builds, the same bytes"
fi

step "done"
cat "$out/SHA256SUMS"
printf 'The release of %s is in %s.\n' "$(git describe --always --abbrev=12)" "$out"
