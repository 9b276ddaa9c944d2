#!/usr/bin/env bash
# Builds an archive with the program for any Linux of this processor, linked with nothing that must be there, into
# target/static. OpenSSL, zlib and the C library are this system's, with its security updates: build on a current one.
# What musl would do better is in docs/release.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=cli/packaging/build-env.sh
. cli/packaging/build-env.sh

export RUSTFLAGS="$RUSTFLAGS -C target-feature=+crt-static" OPENSSL_STATIC=1 LIBZ_SYS_STATIC=1
cargo auditable build --release --locked -p dataverse-backup --target "$target"
program=target/$target/release/dataverse-backup
if readelf --program-headers "$program" | grep -q INTERP; then
    echo "$program wants a dynamic linker" >&2
    exit 1
fi

name=dataverse-backup-$version-${target%%-*}-linux-static
rm -rf target/static
mkdir -p "target/static/$name"
write_helpers "$program" /usr/share/doc/{libssl-dev,zlib1g-dev,libc6-dev}/copyright
install -m 755 "$program" "target/static/$name/"
# The names of functions stay, so that a backtrace can be read.
strip --strip-debug --enable-deterministic-archives "target/static/$name/dataverse-backup"
cp -R "$made" "target/static/$name/completions"
mv "target/static/$name/completions/"{dataverse-backup.1,THIRD-PARTY.txt} "target/static/$name/"
cp -R README.md CHANGELOG.md LICENSE docs sql cli/packaging/config.ini cli/packaging/systemd "target/static/$name/"
chmod -R u=rwX,go=rX "target/static/$name"
tar --sort=name --format=ustar --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" \
    -C target/static -cf - "$name" | gzip --no-name --best >"target/static/$name.tar.gz"
rm -rf "target/static/${name:?}"
ls -l target/static/*.tar.gz
