#!/usr/bin/env bash
# Test under slurm:
#   tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [options of tools/test.py]
#
# Variables: as for tools/slurm_train.sh.

source "$(dirname "$0")/launch.sh"
[[ $# -ge 4 ]] || wrong_usage "$@"
run_slurm "$1" "$2" test.py "$3" "$4" "${@:5}"
