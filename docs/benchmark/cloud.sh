# Sourced by bench.sh: from and to object stores, beside rclone with the same evidence (it compares MD5s of its own accord).
# shellcheck shell=bash disable=SC2154,SC2034

line_title[s3-sftp]="from S3 to an SSH server"
line_title[fs-swift]="from a folder to Swift"
line_title[fs-s3]="from a folder to S3"

# Files in flight, for both programs.
in_flight=8

# SeaweedFS and Swift, as the tests start them. They end when their input does: with this script.
start_cloud() {
    local words
    cargo build --release --locked --quiet -p dvb-testkit --example cloud_servers
    coproc CLOUD { TMPDIR=$folder exec "${CARGO_TARGET_DIR:-target}/release/examples/cloud_servers"; }
    servers+=("$CLOUD_PID")
    while [ "${ready:-}" != yes ]; do
        read -r words <&"${CLOUD[0]}" || { echo "SeaweedFS and Swift do not start: .ci/packages test installs them; name weed in \$WEED" >&2; exit 1; }
        # shellcheck disable=SC2086 # several assignments
        declare -g $words
    done
    export RCLONE_CONFIG_S3_TYPE=s3 RCLONE_CONFIG_S3_PROVIDER=Other RCLONE_CONFIG_S3_ENDPOINT=$s3_url \
        RCLONE_CONFIG_S3_ACCESS_KEY_ID=$s3_key RCLONE_CONFIG_S3_SECRET_ACCESS_KEY=$s3_secret \
        RCLONE_CONFIG_SWIFT_TYPE=swift RCLONE_CONFIG_SWIFT_AUTH=$swift_url RCLONE_CONFIG_SWIFT_AUTH_VERSION=1 \
        RCLONE_CONFIG_SWIFT_USER=$swift_user RCLONE_CONFIG_SWIFT_KEY=$swift_key
    rclone_knows_ssh near
}

# compare_cloud SET FILES BYTES: as `compare`, over the three routes.
compare_cloud() {
    local set=$1 files=$2 bytes=$3 route round tool
    local store=$folder/$set-$files-$bytes
    make_store "$store" "$files" "$bytes"
    "${rclone[@]}" copy "$store/files" "s3:source-$set"
    for route in s3-sftp fs-swift fs-s3; do
        for round in $(seq "$rounds"); do
            for tool in ours rclone-hash; do
                if wanted "$tools" "$tool"; then cloud_measure "$set" $route $tool "$store"; fi
            done
        done
        print_table "$set" $route "$files" "$bytes"
    done
    "${rclone[@]}" purge "s3:source-$set"
}

# cloud_measure SET ROUTE TOOL STORE: one measurement, to a destination of its own.
cloud_measure() {
    local set=$1 route=$2 tool=$3 store=$4 from=$4/files to=copies-$RANDOM$RANDOM place
    if [[ $route = s3-* ]]; then from=s3:source-$set; fi
    case $route in
        *-sftp) to=$(new_destination) place=bench:$to ;;
        *-s3) place=s3:$to ;;
        *-swift) place=swift:$to ;;
    esac
    "${rclone[@]}" mkdir "$place"
    rm -rf "$folder/ours"
    mkdir -p "$folder/ours"
    if [ "$tool" = ours ]; then
        cloud_config "$set" "$route" "$store" "$to" >"$folder/ours/config.ini"
        chmod 600 "$folder/ours/config.ini"
        "$program" --config "$folder/ours/config.ini" init >/dev/null
        command=("$program" --config "$folder/ours/config.ini" run)
    else
        command=("${rclone[@]}" copy --transfers $in_flight "$from" "$place")
    fi
    clock "$set" "$route" "$tool" is_at "$store/files" "$place"
    case $route in
        *-sftp) remove_large "$set" "$to" ;;
        *) "${rclone[@]}" purge "$place" ;;
    esac
}

# Whether a place of rclone's has the names and sizes of a folder.
is_at() {
    diff -q <(listing "$1") \
        <("${rclone[@]}" lsf -R --files-only --format ps --separator ' ' --exclude '/.dataverse-backup/**' "$2" | sed 's#^#./#' | sort) >/dev/null
}

cloud_config() {
    local set=$1 route=$2 store=$3 to=$4
    printf '[Database]\nBackupDatabase: sqlite:%s/ours/ledger.db\n' "$folder"
    case $route in
        s3-*)
            # The same data files, in the store of the S3 driver.
            sed "s#\"file://10#\"s3://10#; s#\"file://18#\"s3://source-$set:18#" "$store/catalogue.jsonl" >"$folder/ours/catalogue.jsonl"
            cat <<CONFIG
Catalogue: file:$folder/ours/catalogue.jsonl
[Repository]
DefaultStore: s3
[Store s3]
Type: s3
BucketName: source-$set
CustomEndpointUrl: $s3_url
CustomEndpointRegion: us-east-1
PathStyleAccess: true
AccessKey: $s3_key
SecretKey: $s3_secret
CONFIG
            ;;
        fs-*) printf 'Catalogue: file:%s/catalogue.jsonl\n[Repository]\nFileSystemDirectory: %s/files\n' "$store" "$store" ;;
    esac
    printf '[Backup]\nJobs: %s\n' $in_flight
    case $route in
        *-sftp) ssh_destination near "$to" ;;
        *-s3)
            cat <<CONFIG
StorageType: s3
S3Bucket: $to
S3EndpointUrl: $s3_url
S3PathStyle: yes
S3AccessKey: $s3_key
S3SecretKey: $s3_secret
CONFIG
            ;;
        *-swift)
            cat <<CONFIG
StorageType: swift
SwiftContainer: $to
SwiftAuthUrl: $swift_url
SwiftAuthVersion: 1
SwiftUser: $swift_user
SwiftKey: $swift_key
CONFIG
            ;;
    esac
}
