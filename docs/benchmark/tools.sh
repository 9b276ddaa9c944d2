# Sourced by bench.sh: the programs that are compared, and how one is measured.
# shellcheck shell=bash disable=SC2154,SC2034

wanted() { [[ ,$1, == *,$2,* ]]; }

declare -A title=(
    [ours]="dataverse-backup, every copy proved"
    [rsync]="rsync -a, no proof"
    [rclone-hash]="rclone copy, md5 compared"
    [rclone]="rclone copy, no hashes"
    [sftp]="OpenSSH sftp, no proof"
    [restore-small-ours]="dataverse-backup restore --all"
    [restore-large-ours]="dataverse-backup restore --all"
    [restore-small-rclone]="rclone copy, back, md5 compared"
    [restore-large-rclone]="rclone copy, back, md5 compared"
    [verify-ours]="dataverse-backup verify --all"
    [verify-rclone-hash]="rclone check, md5 compared"
    [verify-rclone]="rclone check --download"
)

declare -A line_title=([near]="to an SSH server on loopback" [far]="to an SSH server, $round_trip ms round trip")

machine() {
    echo "$(uname -sr), $(nproc) processors, load $(cut -d' ' -f1 /proc/loadavg); $("$program" --version 2>/dev/null || true);" \
        "$(rsync --version | head -n1); $(rclone version | head -n1); $(ssh -V 2>&1)"
}

# What each program is called with: command NAME LINK STORE DESTINATION sets the array `command`.
command_of() {
    local ssh=$folder/ssh
    case $1 in
        ours)
            our_config "$2" "$3" "$4" >"$folder/ours/config.ini"
            # shellcheck disable=SC2016 # $1 and $2 are the inner shell's
            command=(sh -c '"$1" --config "$2" init >/dev/null && exec "$1" --config "$2" run >/dev/null'
                sh "$program" "$folder/ours/config.ini")
            ;;
        rsync) command=(rsync -a -e "ssh -F '$ssh/config.$2'" "$3/files/" "bench:$4/") ;;
        rclone-hash) rclone_command "$2" "$3" "$4" ;;
        rclone) rclone_command "$2" "$3" "$4" --ignore-checksum --sftp-disable-hashcheck ;;
        sftp)
            # Both numbers are the best for a long line; by default it keeps fewer, smaller requests under way. The
            # cipher is the one that we choose, and faster than its own choice.
            printf 'put -r "%s" "%s"\n' "$3/files" "$4" >"$folder/sftp.batch"
            command=(sftp -q -B 261120 -R 128 -c aes128-gcm@openssh.com -F "$ssh/config.$2" -b "$folder/sftp.batch" bench)
            ;;
    esac
}

our_config() {
    cat <<CONFIG
[Database]
Catalogue: file:$2/catalogue.jsonl
BackupDatabase: sqlite:$folder/ours/ledger.db
[Repository]
FileSystemDirectory: $2/files
[Backup]
$(ssh_destination "$1" "$3")
CONFIG
}

# ssh_destination LINK FOLDER
ssh_destination() {
    cat <<CONFIG
StorageType: ssh
SshHost: 127.0.0.1
SshPort: ${port[$1]}
SshUsername: $(id -un)
SshKeyFile: $folder/ssh/key
SshKnownHosts: $folder/ssh/known_hosts
BackupDirectory: $2
CONFIG
}

# Certificates that the environment names make rclone refuse to start, though nothing here needs any.
rclone=(env -u AWS_CA_BUNDLE -u SSL_CERT_FILE -u SSL_CERT_DIR -u CURL_CA_BUNDLE -u REQUESTS_CA_BUNDLE
    rclone --config /dev/null)

rclone_command() {
    local link=$1 store=$2 to=$3
    shift 3
    rclone_knows_ssh "$link"
    command=("${rclone[@]}" copy --transfers 4 "$@" "$store/files" "bench:$to")
}

# What rclone finds in its environment under the name `bench`.
rclone_knows_ssh() {
    export RCLONE_CONFIG_BENCH_TYPE=sftp RCLONE_CONFIG_BENCH_HOST=127.0.0.1 RCLONE_CONFIG_BENCH_PORT=${port[$1]} \
        RCLONE_CONFIG_BENCH_USER RCLONE_CONFIG_BENCH_KEY_FILE=$folder/ssh/key \
        RCLONE_CONFIG_BENCH_KNOWN_HOSTS_FILE=$folder/ssh/known_hosts
    RCLONE_CONFIG_BENCH_USER=$(id -un)
}

# measure SET LINK TOOL STORE: one measurement, to a destination of its own, with the files read once before.
measure() {
    local set=$1 link=$2 tool=$3 store=$4 to
    to=$(new_destination)
    rm -rf "$folder/ours"
    mkdir -p "$folder/ours"
    if [ "$tool" != sftp ]; then mkdir "$to"; fi # `put -r` makes it, or else goes one level deeper
    command_of "$tool" "$link" "$store" "$to"
    clock "$set" "$link" "$tool" same_files "$store/files" "$to"
    remove_large "$set" "$to"
}

# Copies of many files stay until the end: ext4 passes over each inode that was freed in the last minute, one by one,
# which costs the next program more than its own work.
new_destination() {
    mkdir -p "$folder/copies"
    mktemp -du "$folder/copies/XXXXXXXX"
}

remove_large() {
    if [ "$1" = large ]; then rm -rf "$2"; fi
}

# clock SET LINK TOOL CHECK...: runs `command`, then the check of what it made. Its result is a line of results.tsv.
clock() {
    local set=$1 link=$2 tool=$3 seconds memory user system before after verdict=ok
    shift 3
    sync
    before=$(server_seconds)
    /usr/bin/time -q -f '%e %M %U %S' -o "$folder/time" timeout "$limit" "${command[@]}" </dev/null >"$folder/output" 2>&1 || verdict="exit $?"
    read -r seconds memory user system <"$folder/time"
    after=$(server_seconds)
    if [ "$verdict" = ok ] && ! "$@"; then verdict=incomplete; fi
    if [ "$verdict" != ok ]; then
        echo "$tool, $set, $link: $verdict" >&2
        tail -n 5 "$folder/output" >&2
    fi
    printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$set" "$link" "$tool" "$seconds" "$memory" "$verdict" \
        "$(awk "BEGIN { print $user + $system }")" "$(awk "BEGIN { print $after - $before }")" >>"$results"
}

# Whether the copies have the names and sizes of the originals; what a program keeps for itself is left out.
same_files() {
    diff -q <(listing "$1") <(listing "$2") >/dev/null
}

listing() {
    (cd "$1" && find . -path ./.dataverse-backup -prune -o -type f -printf '%p %s\n' | sort)
}

# compare SET FILES BYTES: makes the set, measures every tool on both links, prints the table.
compare() {
    local set=$1 files=$2 bytes=$3 link round tool
    for link in near far; do
        if [ $link = far ] && [ "$files" -gt 1 ]; then files=$((files / share)); fi
        local store=$folder/$set-$files-$bytes
        make_store "$store" "$files" "$bytes"
        for round in $(seq "$rounds"); do
            for tool in ours rsync rclone-hash rclone sftp; do
                if wanted "$tools" "$tool"; then measure "$set" $link "$tool" "$store"; fi
            done
        done
        print_table "$set" $link "$files" "$bytes"
    done
}

# compare_verify SET FILES BYTES: copies of the set, made by this program, are looked at again by every tool.
compare_verify() {
    local set=verify files=$2 bytes=$3 store=$folder/$1-$2-$3 to round tool
    make_store "$store" "$files" "$bytes"
    to=$(new_destination)
    rm -rf "$folder/ours"
    mkdir -p "$to" "$folder/ours"
    command_of ours near "$store" "$to"
    "${command[@]}"
    rclone_knows_ssh near
    for round in $(seq "$rounds"); do
        for tool in ours rclone-hash rclone; do
            if ! wanted "$tools" "$tool"; then continue; fi
            case $tool in
                ours) command=("$program" --config "$folder/ours/config.ini" verify --all) ;;
                rclone-hash) command=("${rclone[@]}" check --exclude '/.dataverse-backup/**' "$store/files" "bench:$to") ;;
                rclone) command=("${rclone[@]}" check --download --exclude '/.dataverse-backup/**' "$store/files" "bench:$to") ;;
            esac
            clock $set near $tool true
        done
    done
    print_table $set near "$files" "$bytes"
}

# compare_restore SET FILES BYTES: copies of the set, made by this program, come back into an empty folder, near and far.
compare_restore() {
    local set=restore-$1 bytes=$3 to link round tool files store back
    for link in near far; do
        files=$2
        if [ $link = far ] && [ "$files" -gt 1 ]; then files=$((files / share)); fi
        store=$folder/$1-$files-$bytes
        make_store "$store" "$files" "$bytes"
        to=$(new_destination)
        rm -rf "$folder/ours"
        mkdir -p "$to" "$folder/ours"
        command_of ours $link "$store" "$to"
        "${command[@]}"
        rclone_knows_ssh $link
        for round in $(seq "$rounds"); do
            for tool in ours rsync rclone; do
                if ! wanted "$tools" "$tool"; then continue; fi
                back=$(new_destination)
                mkdir "$back"
                case $tool in
                    ours) command=("$program" --config "$folder/ours/config.ini" restore --all --to "$back") ;;
                    rsync) command=(rsync -a --exclude /.dataverse-backup -e "ssh -F '$folder/ssh/config.$link'" "bench:$to/" "$back/") ;;
                    rclone) command=("${rclone[@]}" copy --transfers 4 --exclude '/.dataverse-backup/**' "bench:$to" "$back") ;;
                esac
                clock "$set" $link "$tool" same_files "$store/files" "$back"
                remove_large "$1" "$back"
            done
        done
        remove_large "$1" "$to"
        print_table "$set" $link "$files" "$bytes"
    done
}

make_store() {
    if [ ! -e "$1/made" ]; then
        rm -rf "$1"
        mkdir -p "$1"
        python3 "$here/make_data.py" "$1" "$2" "$3"
        touch "$1/made"
    fi
    find "$1/files" -type f -exec cat {} + >/dev/null # everybody reads from memory, the first one too
}

print_table() {
    printf '\n%s x %s bytes, %s\n' "$3" "$4" "${line_title[$2]}"
    printf '%-38s %9s %15s %9s %9s %9s %9s %9s %9s\n' "" "seconds" "min to max" "to ours" "client" "server" "files/s" "MiB/s" "MiB peak"
    local tool ours
    ours=$(median "$1" "$2" ours 4)
    for tool in ours rsync rclone-hash rclone sftp cp; do
        if ! grep -qP "^$1\t$2\t$tool\t" "$results"; then continue; fi
        if grep -qP "^$1\t$2\t$tool\t.*\tok\t" "$results"; then
            awk -v t="${title[$1-$tool]:-${title[$tool]}}" -v s="$(median "$1" "$2" "$tool" 4)" -v m="$(median "$1" "$2" "$tool" 5)" \
                -v ours="${ours:-0}" -v files="$3" -v bytes="$4" -v range="$(range "$1" "$2" "$tool" 4)" \
                -v client="$(median "$1" "$2" "$tool" 7)" -v server="$(median "$1" "$2" "$tool" 8)" 'BEGIN {
                    ratio = ours > 0 ? sprintf("%.2f x", s / ours) : "-"
                    printf "%-38s %9.2f %15s %9s %9.2f %9.2f %9.0f %9.1f %9.1f\n", t, s, range, ratio, client, server, files / s, files * bytes / s / 1048576, m / 1024
                }'
        else
            printf '%-38s %9s\n' "${title[$1-$tool]:-${title[$tool]}}" "failed"
        fi
    done
}

# range SET LINK TOOL COLUMN: the least and the most of the measurements that succeeded
range() {
    awk -F'\t' -v s="$1" -v l="$2" -v t="$3" -v c="$4" '$1 == s && $2 == l && $3 == t && $6 == "ok" { print $c }' "$results" |
        sort -n | sed -n '1p;$p' | paste -sd' ' | awk '{ printf "%.2f to %.2f", $1, $NF }'
}

# median SET LINK TOOL COLUMN of the measurements that succeeded
median() {
    awk -F'\t' -v s="$1" -v l="$2" -v t="$3" -v c="$4" '$1 == s && $2 == l && $3 == t && $6 == "ok" { print $c }' "$results" |
        sort -n | awk '{ v[NR] = $1 } END { if (NR) print v[int((NR + 1) / 2)] }'
}
