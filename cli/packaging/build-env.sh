# Sourced by the scripts beside it, in the project's root: the same commit, toolchain and system give the same bytes.
# Times are the commit's, and no path of this machine stays in what is built.
# shellcheck shell=bash

SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
DATAVERSE_BACKUP_COMMIT=${DATAVERSE_BACKUP_COMMIT:-$(git describe --always --abbrev=12 --dirty)}
home=${CARGO_HOME:-$HOME/.cargo}
RUSTFLAGS="--remap-path-prefix=$PWD=/source --remap-path-prefix=$home=/cargo"
CFLAGS="-ffile-prefix-map=$PWD=/source -ffile-prefix-map=$home=/cargo"
# An incremental build is not the same twice.
CARGO_INCREMENTAL=0
export SOURCE_DATE_EPOCH DATAVERSE_BACKUP_COMMIT RUSTFLAGS CFLAGS CARGO_INCREMENTAL
# shellcheck disable=SC2034  # for who sources this
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
made=target/packaging
# Named, so that RUSTFLAGS are for the program alone, and the packages share what runs while building.
# shellcheck disable=SC2034
target=$(rustc -vV | sed -n 's/^host: //p')

# Other people's tools, in the versions that the bytes depend on.
tool() {
    command -v "$1" >/dev/null || cargo install --locked "$1" --version "$2"
}
tool cargo-auditable 0.7.7
tool cargo-deb 3.8.0

# write_helpers PROGRAM [FILE…]: what the program itself writes for those who use it, and whose work is in it; FILEs are
# licences of what is linked in besides.
write_helpers() {
    rm -rf "$made"
    mkdir -p "$made"
    local shell
    for shell in bash zsh fish; do "$1" completions "$shell" >"$made/$shell"; done
    "$1" man >"$made/dataverse-backup.1"
    cli/packaging/notices.sh "${@:2}" >"$made/THIRD-PARTY.txt"
}
