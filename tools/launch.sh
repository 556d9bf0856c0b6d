# shellcheck shell=bash
# What the scripts that start several processes share; they read this file.

set -euo pipefail
tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PYTHONPATH="${tools%/*}${PYTHONPATH:+:$PYTHONPATH}"
# Processes that share cores must not spin while they wait for each other.
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-PASSIVE}"
python=${PYTHON:-python}

# Print a script's first comment, which is its help, and what it was given instead.
wrong_usage() {
    sed -n '2,/^$/s/^# \{0,1\}//p' "$0" >&2
    echo "error: these arguments do not fit: $*" >&2
    exit 2
}

# Become the parent of this machine's processes: run_processes COUNT TOOL ARGUMENT...
run_processes() {
    exec "$python" -m torch.distributed.run \
        --nnodes="${NNODES:-1}" \
        --node-rank="${NODE_RANK:-0}" \
        --master-addr="${MASTER_ADDR:-127.0.0.1}" \
        --master-port="${PORT:-29500}" \
        --nproc-per-node="$1" \
        "$tools/$2" "${@:3}" --launcher pytorch
}

# Become a slurm job step: run_slurm PARTITION JOB_NAME TOOL ARGUMENT...
run_slurm() {
    # shellcheck disable=SC2086  # SRUN_ARGS is several words
    exec srun -p "$1" \
        --job-name="$2" \
        --gres="gpu:${GPUS_PER_NODE:-8}" \
        --ntasks="${GPUS:-8}" \
        --ntasks-per-node="${GPUS_PER_NODE:-8}" \
        --cpus-per-task="${CPUS_PER_TASK:-5}" \
        --kill-on-bad-exit=1 \
        ${SRUN_ARGS:-} \
        "$python" -u "$tools/$3" "${@:4}" --launcher slurm
}
