#!/usr/bin/env bash
# Backs up a small Dataverse, damages what can be damaged, and shows that it is noticed.
# Works on a copy in target/sample-backup. Ends with 0 if every step ended as it should.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# A compiler for C and OpenSSL's headers. Root gets what is missing, others are told.
if [ "$(id -u)" = 0 ]; then
    ./.ci/packages build
elif ! command -v cc >/dev/null || ! command -v pkg-config >/dev/null || ! pkg-config --exists openssl; then
    echo "first, as root: apt-get install gcc libc6-dev pkg-config libssl-dev" >&2
    exit 1
fi
# The build that is soonest done: not optimized, and without the second library of SSH.
cargo build --locked --profile sample -p dataverse-backup --no-default-features
target=${CARGO_TARGET_DIR:-target}
program=$target/sample/dataverse-backup
sample=$target/sample-backup
rm -rf "$sample"
mkdir -p "$sample"
cp -R examples/sample/config.ini examples/sample/files "$sample"

step() { printf '\n--- %s\n' "$1"; }

fail() {
    printf 'Not as it should be: %s\n' "$1" >&2
    exit 1
}

# backup EXIT_CODE ARGUMENTS...: runs the program, shows what it says, and demands how it ends.
output=
backup() {
    local expected=$1 code=0
    shift
    printf '$ dataverse-backup %s\n' "$*"
    output=$("$program" --config "$sample/config.ini" "$@" 2>&1 </dev/null) || code=$?
    printf '%s\n[exit code %s]\n' "$output" "$code"
    [ "$code" = "$expected" ] || fail "the exit code should be $expected"
}

says() { [[ $output == *"$1"* ]] || fail "it should say: $1"; }

# counts NAME NUMBER: what the summary of a `run --json` says.
counts() { [[ $output =~ \"$1\":\ ?$2[^0-9] ]] || fail "it should count: $1 $2"; }

# Everything but the newest deposit, which comes a day later.
sed -e '/"id":33,/d' -e 's/"files":12}/"files":11}/' examples/sample/catalogue.jsonl >"$sample/catalogue.jsonl"

step "The first night: the ledger is made, and every file gets a proved copy"
backup 0 init
backup 0 -v run
backup 0 status
cmp "$sample/files/10.5072/FK2/RIVER1/18f3a4c2e10-5b1d0c9a7e21.orig" "$sample/copies/10.5072/FK2/RIVER1/18f3a4c2e10-5b1d0c9a7e21.orig"

step "The second night: nothing to do"
backup 0 run --json
counts copied 0
counts unchanged 10

step "A new deposit, and its file has been damaged on Dataverse's disk"
cp examples/sample/catalogue.jsonl "$sample/catalogue.jsonl"
printf 'X' | dd of="$sample/files/1902.1/00042/18f3a4e0a0a-3c2b1a099887" bs=1 seek=40 conv=notrunc status=none
backup 3 run
says FAIL_CHECKSUM
says arrivals.csv
[ ! -e "$sample/copies/1902.1/00042/18f3a4e0a0a-3c2b1a099887" ] || fail "a damaged file was copied"

step "It is mended there; the next run copies it"
cp examples/sample/files/1902.1/00042/18f3a4e0a0a-3c2b1a099887 "$sample/files/1902.1/00042/"
backup 0 run --json
counts copied 1

step "A copy is cut short at the destination"
truncate -s 100 "$sample/copies/10.5072/FK2/CHOIR2/15a0b1c2d3e-4f5061728394"
backup 4 -v run --rerun
says interviews.txt

step "The run after it: everything is safe"
backup 0 -v run --rerun
cmp "$sample/files/10.5072/FK2/CHOIR2/15a0b1c2d3e-4f5061728394" "$sample/copies/10.5072/FK2/CHOIR2/15a0b1c2d3e-4f5061728394"
backup 0 status

step "Both sides are read again: the copies, then Dataverse's own store"
backup 0 verify --all
backup 0 audit

step "A file is lost in Dataverse's store; the run names it, and the copy gives it back"
lost=10.5072/FK2/CHOIR2/15a0b1c2d3e-4f5061728394
rm "$sample/files/$lost"
backup 3 run
says interviews.txt
backup 0 restore --missing --in-place
cmp "$sample/files/$lost" "$sample/copies/$lost"
backup 0 run

step "A file has rotted in the store; repair finds which side is good, and mends the other"
printf 'X' | dd of="$sample/files/$lost" bs=1 seek=3 conv=notrunc status=none
backup 3 audit
backup 3 repair
backup 0 repair --apply
cmp "$sample/files/$lost" "$sample/copies/$lost"

step "A dataset comes back into a folder, under the names that people know"
backup 0 restore --dataset doi:10.5072/FK2/CHOIR2 --to "$sample/back" --names
[ -s "$sample/back/interviews.txt" ] || fail "interviews.txt did not come back"

printf '\nEvery step ended as it should. The copies are in %s/copies.\n' "$sample"
