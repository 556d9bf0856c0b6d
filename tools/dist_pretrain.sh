#!/usr/bin/env bash
set -euo pipefail
# shellcheck source=tools/launch.sh
source "$(dirname "${BASH_SOURCE[0]}")/launch.sh"

usage() {
    cat << 'END'
Train a classifier on several GPUs: tools/dist_pretrain.sh CONFIG GPUS [options of tools/pretrain.py]

GPUS and the variables NNODES, NODE_RANK, MASTER_ADDR, PORT and PYTHON: as for tools/dist_train.sh.
END
}

[[ $# -ge 2 && $2 =~ ^[1-9][0-9]*$ ]] || wrong_usage 'a config and a number of processes' "$@"
run_processes "$2" pretrain.py "$1" "${@:3}"
