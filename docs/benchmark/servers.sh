# Sourced by bench.sh: an sshd on loopback with keys of its own, once near and once behind a longer cable.
# shellcheck shell=bash disable=SC2154

# Ports below 32768: above it, an outgoing connection may sit on one.
free_port() {
    python3 - <<'PYTHON'
import random, socket
while True:
    port = random.randrange(20000, 32000)
    with socket.socket() as it:
        try:
            it.bind(("127.0.0.1", port))
        except OSError:
            continue
    print(port)
    break
PYTHON
}

wait_for_port() {
    for _ in $(seq 100); do
        if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then return; fi
        sleep 0.1
    done
    echo "nothing listens at port $1; see $folder/ssh/log" >&2
    exit 1
}

servers=()
stop_servers() {
    local pid
    for pid in "${servers[@]}"; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    if [ -n "${postgres_folder:-}" ]; then rm -rf "$postgres_folder"; fi
}

# Sets port[near] and port[far], and leaves in $folder/ssh what the clients need.
declare -A port
start_sshd() {
    local ssh=$folder/ssh link
    rm -rf "$ssh"
    mkdir -p "$ssh"
    port[near]=$(free_port)
    port[far]=$(free_port)
    ssh-keygen -q -t ed25519 -N '' -f "$ssh/host"
    ssh-keygen -q -t ed25519 -N '' -f "$ssh/key"
    for link in near far; do
        echo "[127.0.0.1]:${port[$link]} $(cut -d' ' -f1,2 "$ssh/host.pub")" >>"$ssh/known_hosts"
        client_config "$link" >"$ssh/config.$link"
    done
    server_config >"$ssh/sshd_config"
    if [ "$(id -u)" = 0 ]; then mkdir -p /run/sshd; fi
    python3 "$here/reap.py" "$ssh/pids" /usr/sbin/sshd -D -e -f "$ssh/sshd_config" 2>"$ssh/log" &
    servers+=($!)
    python3 "$here/delay.py" "${port[far]}" "${port[near]}" $((round_trip / 2)) &
    servers+=($!)
    wait_for_port "${port[near]}"
    wait_for_port "${port[far]}"
}

# Processor seconds that the server has used so far, with all that ran in its sessions; waits until those are over.
server_seconds() {
    local pids pid _
    read -ra pids <"$folder/ssh/pids"
    for _ in $(seq 100); do
        # The first one's only child is the second one.
        if [ "$(cat /proc/"${pids[0]}"/task/*/children /proc/"${pids[1]}"/task/*/children | wc -w)" -le 1 ]; then break; fi
        sleep 0.05
    done
    for pid in "${pids[@]}"; do
        # Behind the name in brackets, the 12th to the 15th: of itself and of its children, user and system.
        sed 's/.*) //' "/proc/$pid/stat" | cut -d' ' -f12-15
    done | awk -v tick="$(getconf CLK_TCK)" '{ sum += $1 + $2 + $3 + $4 } END { printf "%.2f", sum / tick }'
}

# With a home of its own: what the user's .bashrc does would count for each command, and rclone starts one a file.
server_config() {
    cat <<CONFIG
ListenAddress 127.0.0.1:${port[near]}
HostKey $folder/ssh/host
AuthorizedKeysFile $folder/ssh/key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxStartups 100
SetEnv HOME=$folder/ssh
Subsystem sftp internal-sftp
CONFIG
}

client_config() {
    cat <<CONFIG
Host bench
    HostName 127.0.0.1
    Port ${port[$1]}
    User $(id -un)
    IdentityFile $folder/ssh/key
    IdentitiesOnly yes
    IdentityAgent none
    UserKnownHostsFile $folder/ssh/known_hosts
    StrictHostKeyChecking yes
    BatchMode yes
CONFIG
}
