#!/usr/bin/env bash
# Measures what several hosts share (`run --join`) with a PostgreSQL of its own: planning, claims, scaling. Not a test.
# README.md beside it says how to read what it prints.
# shellcheck disable=SC2034 # the sourced files use what is set here
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."

usage() {
    cat <<'USAGE'
hosts.sh [OPTIONS]
  --rows N       data files in the plan (1000000); in PostgreSQL they need about 1.3 GB for each million
  --ranges N     ranges that are claimed (20000)
  --files N      files for the scaling (2000)
  --answer MS    how long the destination takes for each of these (20)
  --rounds N     each measurement so often, the median counts (3)
  --only LIST    of: plan claims scaling, with commas between (all)
  --folder DIR   on a real disk (target/benchmark)
USAGE
}

rows=1000000 ranges=20000 files=2000 answer=20 rounds=3 only=plan,claims,scaling folder=target/benchmark
while [ $# -gt 0 ]; do
    case $1 in
        --rows | --ranges | --files | --answer | --rounds | --only | --folder)
            name=${1#--}
            [ $# -ge 2 ] || { usage >&2; exit 2; }
            declare "$name=$2"
            shift 2
            ;;
        --help) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
done
wanted() { [[ ,$only, == *,$1,* ]]; }

cargo build --release --locked --quiet --bin dataverse-backup --example share_hosts --example bulk_world
release=$(realpath "${CARGO_TARGET_DIR:-target}/release")
program=$release/dataverse-backup
mkdir -p "$folder/hosts"
folder=$(realpath "$folder")
work=$folder/hosts

declare -A port
# shellcheck source=docs/benchmark/servers.sh
. "$here/servers.sh"
# shellcheck source=docs/benchmark/rows.sh
. "$here/rows.sh"
trap 'stop_servers; rm -rf "$work"' EXIT
start_postgres

# answer_of DATABASE SQL
answer_of() { psql -X -q -A -t -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "${port[postgres]}" -U postgres -d "$1" -c "$2"; }
fresh() { sql postgres -c "DROP DATABASE IF EXISTS $1 WITH (FORCE)" && sql postgres -c "CREATE DATABASE $1"; }

# spread FILE: minimum, median and maximum of its lines
spread() {
    sort -n "$1" | awk '{ v[NR] = $1 } END { printf "min %s, median %s, max %s\n", v[1], v[int((NR + 1) / 2)], v[NR] }'
}

tables() {
    answer_of "$1" "SELECT relname, pg_size_pretty(pg_total_relation_size(relid)), n_live_tup || ' live', n_dead_tup || ' dead'
                    FROM pg_stat_user_tables WHERE relname IN ('backup_range', 'backup_worker', 'backup_shared') ORDER BY 1" |
        sed 's/|/, /g; s/^/    /'
}

machine_now() {
    printf '%s, %s processors, load %s\n' "$(uname -sr)" "$(nproc)" "$(cut -d' ' -f1-3 /proc/loadavg)"
}

# The files of a dataset are links to one: what is planned is not read, but it must be there.
catalogue() {
    "$release/examples/bulk_world" "$rows" | sql dvndb
    python3 - "$work/files" "$rows" <<'PYTHON'
import os, sys
root, rows = sys.argv[1], int(sys.argv[2])
for number in range(rows):
    name = f"{root}/10.5072/FK2/B{number // 100}/18f3a000000-{number:012x}"
    if number % 100:
        os.link(first, name)
        continue
    first = name
    os.makedirs(os.path.dirname(name))
    with open(name, "w") as file:
        file.write("0")
PYTHON
}

config() {
    cat <<CONFIG
[Database]
Host: 127.0.0.1
Port: ${port[postgres]}
Database: dvndb
Username: postgres
BackupDatabase: backupdb
[Repository]
FileSystemDirectory: $work/files
[Backup]
StorageType: directory
BackupDirectory: $work/copies
CONFIG
}

# From the first host's start to the moment when others see its ranges.
plan() {
    local began planner
    catalogue
    config >"$work/config.ini"
    chmod 600 "$work/config.ini"
    : >"$work/seconds"
    : >"$work/memory"
    for _ in $(seq "$rounds"); do
        fresh backupdb
        rm -rf "$work/copies"
        mkdir "$work/copies"
        "$program" --config "$work/config.ini" init >/dev/null
        began=$EPOCHREALTIME
        /usr/bin/time -q -f '%M' -o "$work/time" "$program" --config "$work/config.ini" run --join --jobs 1 >/dev/null 2>&1 &
        planner=$!
        until [ "$(answer_of backupdb 'SELECT max(phase) FROM backup_shared')" = 1 ]; do sleep 0.1; done
        awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f\n", b - a }' >>"$work/seconds"
        pkill -INT -P "$planner"
        wait "$planner" || true
        awk '{ printf "%.0f\n", $1 / 1024 }' "$work/time" >>"$work/memory"
    done
    echo "plan of $rows data files, all due: seconds $(spread "$work/seconds"); MiB at most $(spread "$work/memory")"
    echo "  $(answer_of backupdb 'SELECT count(*), sum(files) FROM backup_range WHERE phase = 1' | sed 's/|/ ranges of data files: /')"
    tables backupdb
    rm -rf "$work/copies" "$work/files"
}

# claims TITLE HOSTS [DUMP]: DUMP: beside a pg_dump that is not read to its end, as one over a slow line.
claims() {
    local title=$1 hosts=$2 dump=${3:-} claiming dumping
    : >"$work/rates"
    for _ in $(seq "$rounds"); do
        fresh claims
        rm -f "$work/go"
        mkfifo "$work/go"
        "$release/examples/share_hosts" claims "${port[postgres]}" claims "$ranges" "$hosts" <"$work/go" >"$work/out" &
        claiming=$!
        exec 4>"$work/go"
        until grep -q planned "$work/out"; do sleep 0.1; done
        sleep 1.5 # the server counts rows now and then
        tables claims >"$work/before"
        dumping=
        if [ -n "$dump" ]; then
            rm -f "$work/dump"
            mkfifo "$work/dump"
            sleep 600 <"$work/dump" >/dev/null 2>&1 &
            dumping=$!
            pg_dump -h 127.0.0.1 -p "${port[postgres]}" -U postgres claims >"$work/dump" 2>/dev/null &
            dumping+=" $!"
            sleep 1
        fi
        echo >&4
        exec 4>&-
        wait "$claiming"
        sed -n 's|.*: \([0-9]*\)/s$|\1|p' "$work/out" >>"$work/rates"
        sleep 1.5
        tables claims >"$work/after"
        if [ -n "$dumping" ]; then
            # It ends where nobody reads any more.
            kill "${dumping%% *}"
            # shellcheck disable=SC2086 # two numbers
            wait $dumping 2>/dev/null || true
        fi
    done
    echo "$title, $hosts hosts, $ranges ranges: claimed and finished a second $(spread "$work/rates")"
    echo "  before"
    cat "$work/before"
    echo "  after"
    cat "$work/after"
}

scaling() {
    local hosts
    "$release/examples/bulk_world" "$files" | sql scaling
    for hosts in 1 2 4 8; do
        : >"$work/seconds"
        : >"$work/client"
        : >"$work/server"
        for _ in $(seq "$rounds"); do
            fresh claims
            before=$(postgres_seconds)
            TMPDIR=/dev/shm /usr/bin/time -q -f '%U %S' -o "$work/time" "$release/examples/share_hosts" scaling \
                "${port[postgres]}" claims scaling "$work/store" "$files" "$hosts" "$answer" >"$work/out"
            sleep 0.2
            sed -n 's|.* in \([0-9.]*\) s:.*|\1|p' "$work/out" >>"$work/seconds"
            awk '{ printf "%.2f\n", $1 + $2 }' "$work/time" >>"$work/client"
            awk -v a="$before" -v b="$(postgres_seconds)" 'BEGIN { printf "%.2f\n", b - a }' >>"$work/server"
        done
        echo "$hosts hosts, $files files, $answer ms each: seconds $(spread "$work/seconds")"
        echo "    processor seconds: hosts $(spread "$work/client"); PostgreSQL $(spread "$work/server")"
    done
}

machine_now
if wanted plan; then plan; fi
if wanted claims; then
    claims "claims" 1
    claims "claims" 16
    claims "claims beside a pg_dump" 16 dump
fi
if wanted scaling; then
    fresh scaling
    scaling
fi
machine_now
