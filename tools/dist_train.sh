#!/usr/bin/env bash
# Train on several GPUs: tools/dist_train.sh CONFIG GPUS [options of tools/train.py]
#
# GPUS is the number of processes on this machine, one per GPU; without a GPU they share the CPU.
# Several machines: the same command on each, with these variables.
#   NNODES       how many machines (default 1)
#   NODE_RANK    which of them this is, from 0 (default 0)
#   MASTER_ADDR  address of machine 0 (default 127.0.0.1)
#   PORT         a free port of machine 0 (default 29500); one machine's runs need different ones
#   PYTHON       the Python to run (default python)

source "$(dirname "$0")/launch.sh"
[[ $# -ge 2 && $2 =~ ^[1-9][0-9]*$ ]] || wrong_usage "$@"
run_processes "$2" train.py "$1" "${@:3}"
