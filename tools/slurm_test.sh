#!/usr/bin/env bash
set -euo pipefail
# shellcheck source=tools/launch.sh
source "$(dirname "${BASH_SOURCE[0]}")/launch.sh"

usage() {
    cat << 'END'
Test under slurm:
  tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [options of tools/test.py]

Variables: as for tools/slurm_train.sh.
END
}

[[ $# -ge 4 ]] || wrong_usage 'a partition, a job name, a config and a checkpoint' "$@"
run_slurm "$1" "$2" test.py "$3" "$4" "${@:5}"
