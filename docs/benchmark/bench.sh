#!/usr/bin/env bash
# Measures this program beside rsync, rclone and sftp, all against servers of its own on loopback. Not a test.
# README.md beside it says how to read what it prints.
# shellcheck disable=SC2034 # the sourced files use what is set here
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."

usage() {
    cat <<'USAGE'
bench.sh [OPTIONS]
  --quick          small sets, one round: shows that it works, measures nothing
  --small N        files of 4 KiB (20000)
  --medium N       files of 64 KiB (2000)
  --large MIB      size of the one large file (2048); with object stores, a quarter
  --share N        over the long line and with object stores, one N-th of the small files (10)
  --round-trip MS  of the long line, even (20)
  --rounds N       each measurement so often, the median counts (3)
  --rows N         data files in the catalogue and the ledger that are read when nothing is to be done (1000000)
  --only LIST      of: small medium large directory cloud verify restore rows, with commas between (all)
  --tools LIST     of: ours rsync rclone-hash rclone sftp cp, with commas between (all)
  --limit S        seconds after which a measurement is given up (1800)
  --folder DIR     on a real disk, for data and copies (target/benchmark)
USAGE
}

small=20000 medium=2000 large=2048 share=10 round_trip=20 rounds=3 rows=1000000 limit=1800
only=small,medium,large,directory,cloud,verify,restore,rows tools=ours,rsync,rclone-hash,rclone,sftp,cp folder=target/benchmark
while [ $# -gt 0 ]; do
    case $1 in
        --quick) small=400 medium=100 large=32 share=4 rounds=1 rows=2000; shift ;;
        --small | --medium | --large | --share | --rounds | --rows | --limit | --only | --tools | --folder | --round-trip)
            name=${1#--}
            [ $# -ge 2 ] || { usage >&2; exit 2; }
            declare "${name//-/_}=$2"
            shift 2
            ;;
        --help) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
done

missing=()
for program in rsync rclone sftp python3 /usr/sbin/sshd /usr/bin/time; do
    command -v "$program" >/dev/null || missing+=("$program")
done
[ ${#missing[@]} = 0 ] || { echo "missing: ${missing[*]}; apt-get install rsync rclone openssh-client openssh-server python3 time" >&2; exit 2; }

if [[ ,$tools, == *,ours,* ]]; then cargo build --release --locked --quiet; fi
program=$(realpath -m "${CARGO_TARGET_DIR:-target}/release/dataverse-backup")
mkdir -p "$folder"
folder=$(realpath "$folder")
[ "$(stat -f -c %T "$folder")" != tmpfs ] || echo "warning: $folder is in memory, not on a disk" >&2

# shellcheck source=docs/benchmark/servers.sh
. "$here/servers.sh"
# shellcheck source=docs/benchmark/tools.sh
. "$here/tools.sh"
trap 'stop_servers; rm -rf "$folder/copies"' EXIT
rm -rf "$folder/copies"
start_sshd
results=$folder/results.tsv
: >"$results"
machine

if wanted "$only" small; then compare small "$small" 4096; fi
if wanted "$only" medium; then compare medium "$medium" 65536; fi
if wanted "$only" large; then compare large 1 $((large * 1048576)); fi
if wanted "$only" directory; then
    # shellcheck source=docs/benchmark/directory.sh
    . "$here/directory.sh"
    compare_directory small "$small" 4096
    compare_directory medium "$medium" 65536
    compare_directory large 1 $((large * 1048576))
fi
if wanted "$only" cloud; then
    # shellcheck source=docs/benchmark/cloud.sh
    . "$here/cloud.sh"
    start_cloud
    compare_cloud small $((small / share)) 4096
    compare_cloud medium $((medium / share)) 65536
    compare_cloud large 1 $((large * 1048576 / 4))
fi
if wanted "$only" verify; then compare_verify small "$small" 4096; fi
if wanted "$only" restore; then
    compare_restore small "$small" 4096
    compare_restore large 1 $((large * 1048576))
fi
if wanted "$only" rows; then
    # shellcheck source=docs/benchmark/rows.sh
    . "$here/rows.sh"
    many_rows "$rows"
fi
