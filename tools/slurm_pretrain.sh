#!/usr/bin/env bash
# Train a classifier under slurm:
#   tools/slurm_pretrain.sh PARTITION JOB_NAME CONFIG WORK_DIR [options of tools/pretrain.py]
#
# Variables: as for tools/slurm_train.sh.

source "$(dirname "$0")/launch.sh"
[[ $# -ge 4 ]] || wrong_usage "$@"
run_slurm "$1" "$2" pretrain.py "$3" --work-dir "$4" "${@:5}"
