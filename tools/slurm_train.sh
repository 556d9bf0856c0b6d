#!/usr/bin/env bash
# Train under slurm:
#   tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [options of tools/train.py]
#
# Variables, as for mmdet's own script:
#   GPUS           how many in all (default 8)
#   GPUS_PER_NODE  how many of them on one machine (default 8)
#   CPUS_PER_TASK  for each GPU (default 5)
#   SRUN_ARGS      further options of srun, separated by spaces
#   MASTER_PORT    a free port of the first machine (default 29500)
#   PYTHON         the Python to run (default python)

source "$(dirname "$0")/launch.sh"
[[ $# -ge 4 ]] || wrong_usage "$@"
run_slurm "$1" "$2" train.py "$3" --work-dir "$4" "${@:5}"
