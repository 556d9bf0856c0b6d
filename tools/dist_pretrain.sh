#!/usr/bin/env bash
# Train a classifier on several GPUs: tools/dist_pretrain.sh CONFIG GPUS [options of tools/pretrain.py]
#
# GPUS and the variables NNODES, NODE_RANK, MASTER_ADDR, PORT and PYTHON: as for tools/dist_train.sh.

source "$(dirname "$0")/launch.sh"
[[ $# -ge 2 && $2 =~ ^[1-9][0-9]*$ ]] || wrong_usage "$@"
run_processes "$2" pretrain.py "$1" "${@:3}"
