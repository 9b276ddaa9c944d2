# Sourced by bench.sh: what is read of a large catalogue and a large ledger, when there is nothing to do and by those who ask.
# shellcheck shell=bash disable=SC2154

# What a first run leaves behind is made by a first run: tiny files, copied and proved like any others.
many_rows() {
    local rows=$1 work=$folder/rows round
    rm -rf "$work"
    mkdir -p "$work/copies"
    start_postgres
    cargo run --release --locked --quiet -p dvb-examples --example bulk_world -- "$rows" "$work/files" | sql dvndb
    rows_config "$work" backupdb >"$work/postgres.ini"
    rows_config "$work" "sqlite:$work/ledger.db" >"$work/sqlite.ini"
    chmod 600 "$work"/*.ini
    measured=$work/measured.tsv
    : >"$measured"
    timed_ours "init" postgres init
    timed_ours "first run: every copy made and proved" postgres run
    timed_ours "rebuild of a ledger in SQLite" sqlite rebuild
    timed_ours "run that proves what it claims" sqlite run
    # As after a day: what the server cleans up after a first run is no part of what follows.
    for database in dvndb backupdb; do sql "$database" -c 'VACUUM ANALYZE'; done
    # Alternately, so that what the machine does besides falls on all of them.
    for round in $(seq "$rounds"); do
        # What a run asks of Dataverse's database, and nothing else: the least that any run can take.
        timed "the catalogue's rows alone (psql, COPY)" psql -X -q -v ON_ERROR_STOP=1 -h 127.0.0.1 \
            -p "${port[postgres]}" -U postgres -d dvndb -f "$here/listing.sql"
        nothing_new "nothing to do, SQLite, no presence check" sqlite no
        nothing_new "nothing to do, PostgreSQL, no presence check" postgres no
        nothing_new "nothing to do, SQLite, presence check" sqlite yes
        grep -q "\"complete\": *true" "$work/output" || { echo "the presence check did not come round" >&2; exit 1; }
        timed "find, with sizes, in the store" find "$work/files" -type f -printf '%p %s\n'
        for ledger in sqlite postgres; do
            timed_ours "status, $ledger" "$ledger" status
            timed_ours "report, $ledger" "$ledger" report
            timed_ours "verify --sample 1%, $ledger" "$ledger" verify --sample 1%
        done
    done
    print_rows "$rows"
    rm -rf "$work/copies" "$work/files"
}

# nothing_new TITLE LEDGER PRESENCECHECK
nothing_new() {
    local work=$folder/rows
    sed -i "/^PresenceCheck/d; s/^\[Repository\]/&\nPresenceCheck: $3/" "$work/$2.ini"
    timed_ours "$1" "$2" run --json
    grep -q '"copied": *0[,}]' "$work/output" || { echo "the run copied something" >&2; exit 1; }
}

# timed_ours TITLE LEDGER ARGUMENTS...
timed_ours() {
    local title=$1 ledger=$2
    shift 2
    timed "$title" "$program" --config "$folder/rows/$ledger.ini" "$@"
}

# timed TITLE COMMAND...: a line of $measured, with the processor seconds of the command and of PostgreSQL apart.
timed() {
    local title=$1 work=$folder/rows before after
    shift
    sync
    before=$(postgres_seconds)
    /usr/bin/time -q -f '%e %U %S %M' -o "$work/time" "$@" </dev/null >"$work/output" || {
        echo "$title: exit $?" >&2
        exit 1
    }
    sleep 0.2 # a session's seconds are counted when it has ended
    after=$(postgres_seconds)
    awk -v t="$title" -v a="$before" -v b="$after" \
        '{ printf "%s\t%.2f\t%.2f\t%.2f\t%.1f\n", t, $1, $2 + $3, b - a, $4 / 1024 }' "$work/time" | tee -a "$measured" >&2
}

# What the server and its sessions have used so far.
postgres_seconds() {
    local pid
    {
        awk '{ print $14 + $15 + $16 + $17 }' "/proc/$postgres_pid/stat"
        for pid in $(pgrep -P "$postgres_pid"); do awk '{ print $14 + $15 }' "/proc/$pid/stat" 2>/dev/null || true; done
    } | awk -v hertz="$(getconf CLK_TCK)" '{ ticks += $1 } END { printf "%.2f\n", ticks / hertz }'
}

print_rows() {
    printf '\n%s data files of a few bytes, catalogue in PostgreSQL\n' "$1"
    printf '%-46s %8s %8s %8s %8s %8s %8s\n' "" "min s" "median s" "max s" "client" "server" "MiB"
    local title
    cut -f1 "$measured" | awk '!seen[$0]++' | while IFS= read -r title; do
        awk -F'\t' -v t="$title" '
            $1 == t { n++; for (c = 2; c <= 5; c++) v[c, n] = $c }
            function sorted(c, i, j, x) {
                for (i = 2; i <= n; i++)
                    for (j = i; j > 1 && v[c, j - 1] + 0 > v[c, j] + 0; j--) { x = v[c, j]; v[c, j] = v[c, j - 1]; v[c, j - 1] = x }
            }
            END {
                for (c = 2; c <= 5; c++) sorted(c)
                m = int((n + 1) / 2)
                printf "%-46s %8.2f %8.2f %8.2f %8.2f %8.2f %8.1f\n", t, v[2, 1], v[2, m], v[2, n], v[3, m], v[4, m], v[5, m]
            }' "$measured"
    done
}

# rows_config FOLDER LEDGER
rows_config() {
    cat <<CONFIG
[Database]
Host: 127.0.0.1
Port: ${port[postgres]}
Database: dvndb
Username: postgres
BackupDatabase: $2
[Repository]
FileSystemDirectory: $1/files
[Backup]
StorageType: ssh
SshHost: 127.0.0.1
SshPort: ${port[near]}
SshUsername: $(id -un)
SshKeyFile: $folder/ssh/key
SshKnownHosts: $folder/ssh/known_hosts
BackupDirectory: $1/copies
CONFIG
}

# A cluster with PostgreSQL's own settings. The server does not run as root and must be able to reach its folder: not below a home.
postgres_folder=
start_postgres() {
    local binaries as=()
    binaries=$(compgen -G '/usr/lib/postgresql/*/bin' | sort -V | tail -n 1) || true
    [ -n "$binaries" ] || { echo "missing: apt-get install postgresql" >&2; exit 2; }
    postgres_folder=$(mktemp -d /var/tmp/bench-postgres.XXXXXX)
    if [ "$(id -u)" = 0 ]; then
        chown postgres: "$postgres_folder"
        as=(setpriv --reuid=postgres --regid=postgres --init-groups --reset-env)
    fi
    port[postgres]=$(free_port)
    (
        cd "$postgres_folder" || exit
        "${as[@]}" "$binaries/initdb" -D "$postgres_folder/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 >initdb.log
    )
    (
        cd "$postgres_folder" || exit
        exec "${as[@]}" "$binaries/postgres" -D "$postgres_folder/data" -p "${port[postgres]}" -k "$postgres_folder" \
            -c listen_addresses=127.0.0.1 >server.log 2>&1
    ) &
    postgres_pid=$!
    servers+=("$postgres_pid")
    wait_for_port "${port[postgres]}"
    until sql postgres -c 'CREATE DATABASE dvndb' 2>/dev/null; do sleep 0.2; done
    sql postgres -c 'CREATE DATABASE backupdb'
}

sql() { psql -X -q -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "${port[postgres]}" -U postgres -d "$@" >/dev/null; }
