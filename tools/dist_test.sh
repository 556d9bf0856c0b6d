#!/usr/bin/env bash
set -euo pipefail
# shellcheck source=tools/launch.sh
source "$(dirname "${BASH_SOURCE[0]}")/launch.sh"

usage() {
    cat << 'END'
Test on several GPUs: tools/dist_test.sh CONFIG CHECKPOINT GPUS [options of tools/test.py]

GPUS and the variables NNODES, NODE_RANK, MASTER_ADDR, PORT and PYTHON: as for tools/dist_train.sh.
END
}

[[ $# -ge 3 && $3 =~ ^[1-9][0-9]*$ ]] ||
    wrong_usage 'a config, a checkpoint and a number of processes' "$@"
run_processes "$3" test.py "$1" "$2" "${@:4}"
