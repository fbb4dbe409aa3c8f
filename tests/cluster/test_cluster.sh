#!/bin/bash
# test_cluster.sh - the emulated cluster separates nodes, keeps its rate, counts, and cleans up.
set -u -o pipefail

cluster=$(dirname "$(readlink -f "$0")")/cluster
export CLUSTER_NAME=selftest-$$
other=selftest-$$-b
failures=0

"$cluster" probe
rc=$?
[ $rc = 0 ] || exit $rc

cleanup() {
    CLUSTER_NAME=$other "$cluster" down
    "$cluster" down
}
trap cleanup EXIT
trap 'exit 130' INT TERM

check() { # SENTENCE CMD...
    if "${@:2}"; then
        echo "ok: $1"
    else
        echo "FAILED: $1"
        failures=$((failures + 1))
    fi
}

expect() { # STATUS CMD...
    local want=$1 rc
    shift
    "$@" >/dev/null 2>&1
    rc=$?
    [ $rc = "$want" ] || echo "  status $rc instead of $want: $*"
    [ $rc = "$want" ]
}

tx_bytes() { "$cluster" stats --json | sed 's/.*"tx_bytes":\([0-9]*\),"nodes".*/\1/'; }

# Sends datagrams to nobody for half a second: the kernel blocks the sender at the link's rate.
flood() {
    "$cluster" stats --reset >/dev/null
    # shellcheck disable=SC2016
    "$cluster" exec 0 bash -c 'ip neigh replace 10.201.0.99 lladdr 02:00:00:00:00:99 dev eth0
        timeout 0.5 dd if=/dev/zero bs=1400 status=none >/dev/udp/10.201.0.99/9'
    tx_bytes
}

flood_is_near() { # BYTES: not above the line, and the line is used
    local bytes
    bytes=$(flood)
    echo "  $bytes bytes in 0.5 s, the line holds $1"
    [ "$bytes" -le $(($1 * 120 / 100)) ] && [ "$bytes" -ge $(($1 * 60 / 100)) ]
}

all_different() { # COUNT CMD: what CMD prints on each node
    [ "$("$cluster" spawn 1 sh -c "$2" | sort -u | wc -l)" = "$1" ]
}

ranks_are_numbered() {
    # shellcheck disable=SC2016
    [ "$("$cluster" spawn 2 sh -c 'echo $RANK/$WORLD_SIZE $LOCAL_RANK/$LOCAL_WORLD_SIZE $NODE_RANK/$NNODES \
        $MASTER_ADDR:$MASTER_PORT' | sort | tr '\n' ',')" = \
        "0/4 0/2 0/2 10.201.0.1:29500,1/4 1/2 0/2 10.201.0.1:29500,2/4 0/2 1/2 10.201.0.1:29500,3/4 1/2 1/2 10.201.0.1:29500," ]
}

shm_is_private() {
    "$cluster" exec 0 touch /dev/shm/epx-selftest &&
        ! "$cluster" exec 1 test -e /dev/shm/epx-selftest && ! test -e /dev/shm/epx-selftest
}

gone() { # NAME: no state and no process of that cluster
    [ ! -e "/run/epx-cluster/$1" ] && ! pgrep -f "epx-$1-" >/dev/null
}

ends_cleanly_on() { # SIGNAL: a `once` in full swing
    local pid start=$SECONDS mark=31$((RANDOM % 1000)).$$
    # A background job of a script ignores INT unless told otherwise.
    CLUSTER_NAME=$other env --default-signal=INT "$cluster" once 2 none 2 sleep "$mark" &
    pid=$!
    for _ in {1..200}; do
        [ "$(pgrep -cf "^sleep $mark")" = 4 ] && break
        sleep 0.05
    done
    kill -"$1" $pid
    wait $pid
    [ $((SECONDS - start)) -lt 20 ] && gone "$other" && ! pgrep -f "^sleep $mark" >/dev/null
}

clusters_coexist() {
    CLUSTER_NAME=$other "$cluster" up 1 none &&
        [ "$(CLUSTER_NAME=$other "$cluster" exec 0 hostname)" = "$other-0" ] &&
        [ "$("$cluster" exec 1 hostname)" = "$CLUSTER_NAME-1" ] &&
        CLUSTER_NAME=$other "$cluster" down && gone "$other" && "$cluster" exec 1 true
}

mpirun_counts_nodes() {
    # shellcheck disable=SC2016
    [ "$("$cluster" run 2 sh -c 'echo $OMPI_COMM_WORLD_RANK@$(hostname)' | sort | tr '\n' ' ')" = \
        "0@$CLUSTER_NAME-0 1@$CLUSTER_NAME-0 2@$CLUSTER_NAME-1 3@$CLUSTER_NAME-1 " ]
}

check "a cluster that is not up says so" expect 3 "$cluster" spawn 1 true
check "a wrong rate is refused" expect 3 "$cluster" up 2 fast
check "usage without arguments" expect 2 "$cluster"
check "two nodes come up" "$cluster" up 2 100mbit
check "the same name twice is refused" expect 3 "$cluster" up 2 none
check "spawn numbers ranks, nodes and the meeting point" ranks_are_numbered
check "every node has its own host name" all_different 2 hostname
check "every node has its own boot id" all_different 2 "cat /proc/sys/kernel/random/boot_id"
check "every node has its own ipc namespace" all_different 2 "readlink /proc/self/ns/ipc"
check "/dev/shm of a node is its own" shm_is_private
check "a node sees its own interfaces only" "$cluster" exec 1 test -e /sys/class/net/eth0 -a ! -e /sys/class/net/d0
check "nodes reach each other" "$cluster" exec 0 bash -c 'ip route get 10.201.0.2 | grep -q "dev eth0"'
check "the link keeps to 100 Mbit/s" flood_is_near 6250000
check "the rate can be changed" "$cluster" rate 200mbit
check "the link keeps to 200 Mbit/s" flood_is_near 12500000
check "the first failing rank is the result" expect 7 "$cluster" spawn 2 sh -c "[ \$RANK != 3 ] || exit 7"
check "a rank that does not end is ended" expect 124 env CLUSTER_TIMEOUT=1 "$cluster" spawn 1 sleep 100
check "clusters with different names coexist" clusters_coexist
if command -v mpirun >/dev/null; then
    check "mpirun places ranks by node" mpirun_counts_nodes
fi
check "TERM leaves nothing behind" ends_cleanly_on TERM
check "INT leaves nothing behind" ends_cleanly_on INT
check "down" "$cluster" down
check "down leaves nothing behind" gone "$CLUSTER_NAME"
check "down twice is harmless" "$cluster" down

[ $failures = 0 ]
