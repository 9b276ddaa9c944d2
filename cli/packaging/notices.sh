#!/usr/bin/env bash
# Writes whose work is in the program besides ours, with each licence's text once, to the standard output.
#   notices.sh [FILE…]   texts of what is linked in besides
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export LC_ALL=C

target=$(rustc -vV | sed -n 's/^host: //p')
built=$(cargo tree --locked -p dataverse-backup --edges normal,build --target "$target" --prefix none)
declare -A number=()
texts=

# number_of FILE: which text it is; one that is new is kept.
number_of() {
    local digest
    digest=$(sha256sum <"$1")
    if [ -z "${number[$digest]:-}" ]; then
        number[$digest]=$((${#number[@]} + 1))
        texts+=$(printf '\n\n======== text %s ========\n' "${number[$digest]}"; tr -d '\r' <"$1")
    fi
    told+=" ${number[$digest]}"
}

echo "dataverse-backup has in it the work of others, under these licences. The texts are below, by number."
echo
while IFS=$'\t' read -r name licence manifest; do
    told=
    while read -r file; do number_of "$file"; done < <(
        find "$(dirname "$manifest")" -maxdepth 2 -type f \( -iname 'licen[cs]e*' -o -iname 'copying*' -o -iname 'notice*' \) | sort
    )
    printf '%s: %s; text%s\n' "$name" "$licence" "${told:- in the licence of that name}"
done < <(
    cargo metadata --format-version 1 --locked --filter-platform "$target" | jq --raw-output --arg built "$built" '
        ($built | split("\n") | map(split(" ") | {key: "\(.[0]) \(.[1])", value: true}) | from_entries) as $built
        | .packages[] | select(.source != null and $built["\(.name) v\(.version)"])
        | [.name + " " + .version, .license, .manifest_path] | @tsv' | sort
)
for file in "$@"; do
    told=
    number_of "$file"
    printf '%s: text%s\n' "$file" "$told"
done
printf '%s\n' "$texts"
