# Sourced by bench.sh: a run that finds nothing to do, over a large catalogue and ledger in PostgreSQL.
# shellcheck shell=bash disable=SC2154

# What a first run leaves behind is made by a first run: tiny files, copied and proved like any others.
nothing_to_do() {
    local rows=$1 work=$folder/rows round
    rm -rf "$work"
    mkdir -p "$work/copies"
    start_postgres
    cargo run --release --locked --quiet -p dvb-examples --example bulk_world -- "$rows" "$work/files" | sql dvndb
    rows_config "$work" >"$work/config.ini"
    chmod 600 "$work/config.ini"
    printf '\n%s data files of a few bytes, catalogue and ledger in PostgreSQL\n' "$rows"
    printf '%-38s %9s %9s\n' "" "seconds" "MiB peak"
    timed "init" init
    timed "first run: every copy made and proved" run
    # Alternately, so that what the machine does besides falls on both.
    for round in $(seq "$rounds"); do
        nothing_new "nothing to do, presence check: no, $round" no
        nothing_new "nothing to do, presence check: yes, $round" yes
        grep -q "\"complete\": *true" "$work/output" || { echo "the presence check did not come round" >&2; exit 1; }
    done
    rm -rf "$work/copies" "$work/files"
}

# nothing_new TITLE PRESENCECHECK
nothing_new() {
    local work=$folder/rows
    sed -i "/^PresenceCheck/d; s/^\[Repository\]/&\nPresenceCheck: $2/" "$work/config.ini"
    timed "$1" run --json
    grep -q '"copied": *0[,}]' "$work/output" || { echo "the run copied something" >&2; exit 1; }
}

# timed TITLE ARGUMENTS...
timed() {
    local title=$1 work=$folder/rows seconds memory
    shift
    sync
    /usr/bin/time -q -f '%e %M' -o "$work/time" "$program" --config "$work/config.ini" "$@" </dev/null >"$work/output" || {
        echo "$*: exit $?" >&2
        exit 1
    }
    read -r seconds memory <"$work/time"
    awk -v t="$title" -v s="$seconds" -v m="$memory" 'BEGIN { printf "%-38s %9.2f %9.1f\n", t, s, m / 1024 }'
}

rows_config() {
    cat <<CONFIG
[Database]
Host: 127.0.0.1
Port: ${port[postgres]}
Database: dvndb
Username: postgres
BackupDatabase: backupdb
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
    servers+=($!)
    wait_for_port "${port[postgres]}"
    until sql postgres -c 'CREATE DATABASE dvndb' 2>/dev/null; do sleep 0.2; done
    sql postgres -c 'CREATE DATABASE backupdb'
}

sql() { psql -X -q -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "${port[postgres]}" -U postgres -d "$@" >/dev/null; }
