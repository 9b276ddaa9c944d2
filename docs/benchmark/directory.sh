# Sourced by bench.sh: into a folder on the same disk, beside cp with one flush at the end.
# shellcheck shell=bash disable=SC2154,SC2034

line_title[directory]="into a folder on the same disk"
title[cp]="cp -a and sync -f, no proof"

# compare_directory SET FILES BYTES: as `compare`, without a server.
compare_directory() {
    local set=$1 files=$2 bytes=$3 round tool store=$folder/$1-$2-$3
    make_store "$store" "$files" "$bytes"
    for round in $(seq "$rounds"); do
        for tool in ours cp; do
            if wanted "$tools" "$tool"; then directory_measure "$set" "$tool" "$store"; fi
        done
    done
    print_table "$set" directory "$files" "$bytes"
}

# directory_measure SET TOOL STORE: one measurement, to a destination of its own.
directory_measure() {
    local set=$1 tool=$2 store=$3 to
    to=$(new_destination)
    mkdir "$to"
    rm -rf "$folder/ours"
    mkdir -p "$folder/ours"
    # shellcheck disable=SC2016 # $1 and $2 are the inner shell's
    case $tool in
        ours)
            directory_config "$store" "$to" >"$folder/ours/config.ini"
            command=(sh -c '"$1" --config "$2" init >/dev/null && exec "$1" --config "$2" run >/dev/null'
                sh "$program" "$folder/ours/config.ini")
            ;;
        cp) command=(sh -c 'cp -a "$1/." "$2" && sync -f "$2"' sh "$store/files" "$to") ;;
    esac
    clock "$set" directory "$tool" same_files "$store/files" "$to"
    remove_large "$set" "$to"
}

directory_config() {
    cat <<CONFIG
[Database]
Catalogue: file:$1/catalogue.jsonl
BackupDatabase: sqlite:$folder/ours/ledger.db
[Repository]
FileSystemDirectory: $1/files
[Backup]
StorageType: directory
BackupDirectory: $2
CONFIG
}
