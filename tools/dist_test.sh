#!/usr/bin/env bash
# Test on several GPUs: tools/dist_test.sh CONFIG CHECKPOINT GPUS [options of tools/test.py]
#
# GPUS and the variables NNODES, NODE_RANK, MASTER_ADDR, PORT and PYTHON: as for tools/dist_train.sh.

source "$(dirname "$0")/launch.sh"
[[ $# -ge 3 && $3 =~ ^[1-9][0-9]*$ ]] || wrong_usage "$@"
run_processes "$3" test.py "$1" "$2" "${@:4}"
