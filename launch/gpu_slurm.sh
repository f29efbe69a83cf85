#!/usr/bin/env bash
# Submits a training to Slurm, on GPUs. It is queued again when it was interrupted after saving.
#
#   bash launch/gpu_slurm.sh [--dry-run] --nodes=4 --gpus-per-node=8 --time=24:00:00 \
#        [options] -- python -m experiments.pretrain_lam --config=... --workdir=...
#
# --dry-run        print the sbatch command and submit nothing
# --name=flexlam   name of the job
# --partition=, --account=, --cpus-per-task=    as Slurm has them
# --sbatch-flag=FLAG    any other flag of sbatch, again for each
# --per-node       one process per node with all its GPUs, not one per GPU
# --requeues=20    how often an interruption may queue the job again
# --grace=300      seconds before the time limit at which the training is told to save
# --coordinator=HOST:PORT, --coordinator-port=PORT    not the first node and a port made of the job id
# --logs=DIR       where output goes (default: slurm_logs in the checkout)
#
# The checkout and the work directory must be on a file system that all nodes share. The environment
# is .venv of the checkout if there is one, else what is active when submitting.
set -euo pipefail

# Slurm runs a copy of this file from its own folder, so the job is told where the checkout is.
if [ "${1:-}" = --in-job ]; then launch=$2/launch; else launch=$(dirname "${BASH_SOURCE[0]}"); fi
. "$launch/pod_common.sh"

submit() {
  local nodes='' gpus_per_node='' time='' name=flexlam partition='' account='' cpus_per_task=''
  local per_node='' requeues=20 grace=300 logs=$repo/slurm_logs coordinator='' coordinator_port=''
  local flags=() words=()
  while [ $# -gt 0 ]; do
    case $1 in
      --dry-run) dry_run=yes ;;
      --per-node) per_node=yes ;;
      --nodes=*|--gpus-per-node=*|--cpus-per-task=*|--coordinator-port=*)
        number "${1%%=*}" "${1#*=}" 1; take "$1" ;;
      --requeues=*|--grace=*) number "${1%%=*}" "${1#*=}"; take "$1" ;;
      --time=?*|--name=?*|--partition=?*|--account=?*|--logs=?*) take "$1" ;;
      --coordinator=?*:[0-9]*) take "$1" ;;
      --sbatch-flag=?*) flags+=("${1#*=}") ;;
      --) shift; words=("$@"); break ;;
      -h|--help) show_help; exit 0 ;;
      *) usage "unknown argument '$1'" ;;
    esac
    shift
  done
  need nodes gpus-per-node time
  [ ${#words[@]} -gt 0 ] || usage 'a command is missing: -- python -m experiments.pretrain_lam ...'
  [ -n "$dry_run" ] || command -v sbatch >/dev/null || die 'no sbatch on PATH; is this a login node?'

  local tasks=$gpus_per_node
  if [ -n "$per_node" ]; then tasks=1; fi
  if [ -n "$partition" ]; then flags+=(--partition="$partition"); fi
  if [ -n "$account" ]; then flags+=(--account="$account"); fi
  if [ -n "$cpus_per_task" ]; then flags+=(--cpus-per-task="$cpus_per_task"); fi
  call mkdir -p "$logs"
  # The signal goes to the batch shell alone (B:), which passes it on in the way srun understands.
  call sbatch --job-name="$name" --nodes="$nodes" --gpus-per-node="$gpus_per_node" \
    --ntasks-per-node="$tasks" --time="$time" --requeue --open-mode=append \
    --signal=B:USR1@"$grace" --output="$logs/%x-%j.log" ${flags[@]+"${flags[@]}"} \
    "$repo/launch/gpu_slurm.sh" --in-job "$repo" "$requeues" "$grace" "$per_node" "$coordinator" \
    "$coordinator_port" "${words[@]}"
}

# ---- from here on in the job ----

in_job() {
  local requeues=$1 grace=$2 per_node=$3 coordinator=$4 coordinator_port=$5
  shift 5
  cd "$repo"
  if [ -d .venv/bin ]; then export PATH=$repo/.venv/bin:$PATH; fi
  export PYTHONUNBUFFERED=1
  # Where a restart finds its compiled programs.
  export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR:-$repo/slurm_logs/compilation_cache}
  # Since Slurm 22.05 srun no longer takes over what sbatch was asked for.
  if [ -n "${SLURM_CPUS_PER_TASK:-}" ]; then export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK; fi
  if [ -n "$coordinator_port" ]; then export JAX_COORDINATOR_PORT=$coordinator_port; fi
  if [ -n "$coordinator" ]; then export COORDINATOR_ADDRESS=$coordinator; fi
  # JAX takes a Slurm task for one GPU. Told what the processes are, each sees all GPUs of its node.
  if [ -n "$per_node" ]; then
    if [ -z "$coordinator" ]; then
      # Ports above 61440 by job, as JAX does it, so that jobs that share a node do not meet.
      coordinator=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
      coordinator=$coordinator:${coordinator_port:-$((61440 + SLURM_JOB_ID % 4096))}
    fi
    export COORDINATOR_ADDRESS=$coordinator NUM_PROCESSES=$SLURM_NTASKS
    # shellcheck disable=SC2016   # For the shell of each task.
    set -- bash -c 'export PROCESS_ID=$SLURM_PROCID; exec "$@"' task "$@"
  fi

  echo "== $(date -u +%FT%TZ) job $SLURM_JOB_ID, start $((${SLURM_RESTART_COUNT:-0} + 1))," \
    "on $SLURM_JOB_NODELIST"
  cancelled=''
  trap 'echo "== the time is nearly over: asking the training to save"; save_and_leave' USR1
  trap 'cancelled=yes' TERM      # scancel, or preemption: Slurm itself has told the tasks.
  # The first task that leaves must not kill others that still save, nor may one that hangs hold
  # the job for ever.
  errors=$(mktemp)
  { srun --kill-on-bad-exit=0 --wait="$grace" --label "$@" 2>&1 >&4 | tee "$errors" >&2; } 4>&1 &
  local step=$! code=0
  # A signal ends a wait early and with its own code: the step's is what the last one remembers.
  while wait "$step" || true; kill -0 "$step" 2>/dev/null; do :; done
  wait "$step" || code=$?
  echo "== $(date -u +%FT%TZ) exit code $code"

  if may_restart "$code" && [ -z "$cancelled" ]; then
    [ -z "$(task_errors)" ] || die "$(task_errors): a restart would not mend that"
    [ "${SLURM_RESTART_COUNT:-0}" -lt "$requeues" ] || die "interrupted again after $requeues requeues"
    echo '== queued again'
    scontrol requeue "$SLURM_JOB_ID"
  fi
  exit "$code"
}

# srun returns the highest code of all tasks: 77 of those that lost one may hide the 1 of that one.
task_errors() {
  sed -n 's/^srun: error: \(.*\): Exited with exit code \([0-9]*\)$/\2 \1/p' "$errors" \
    | while read -r code where; do
        may_restart "$code" || { echo "$where exited with code $code"; break; }
      done
}

# srun answers SIGTERM by killing its tasks, so the signal goes to them through Slurm.
save_and_leave() { scancel --signal=TERM "$SLURM_JOB_ID"; }

if [ "${1:-}" = --in-job ]; then shift 2; in_job "$@"; else submit "$@"; fi
