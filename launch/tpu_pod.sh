#!/usr/bin/env bash
# A TPU slice from request to deletion, all its workers at once. docs/pods.md walks through it.
#
#   bash launch/tpu_pod.sh ACTION [--dry-run] --name=NAME --zone=ZONE --project=PROJECT \
#        --topology=v5e-256 [options] [-- COMMAND]
#
#   create    ask for the slice (a queued resource); --wait stays until it is ready
#   setup     copy this checkout to every worker and install it there with the tested versions
#   run       start COMMAND on every worker, detached, output in files on the workers
#   logs      show the output
#   status    the slice, and the command on each worker
#   stop      SIGTERM to the command, which saves and leaves; SIGKILL when it does not
#   delete    give the slice back; asks first where there is somebody to ask, --yes does not
#
# The same line serves every action: what an action does not need, it ignores.
# All: --dry-run prints every command and runs none. --ssh-flag=FLAG goes to gcloud's ssh and scp
#   (--ssh-flag=--internal-ip), again for each flag. --alpha calls gcloud alpha, for flags that are
#   only there (--ssh-flag=--tunnel-through-iap, --create-flag=--reservation=R).
# create: --spot | --reserved, --create-flag=FLAG for gcloud's own (--create-flag=--network=N),
#   --accelerator-type and --runtime-version instead of those that follow from --topology, --wait.
# setup: --bucket=NAME, mounted on every worker as the folder `bucket` of the checkout, for data and
#   runs. --extras=tpu, what to install of pyproject.toml's extras.
# run: --retry=N stays, restarts the command up to N times when it was interrupted (exit codes 75,
#   76, 77, or killed), and makes a preempted slice anew; give the flags of create and setup too.
#   --poll=30 seconds between looks. --env=NAME=VALUE, again for each. --coordinator=HOST:PORT or
#   --coordinator-port=PORT instead of worker 0 and JAX's port.
# logs: --worker=0 or all, --lines=50, --follow.   stop: --grace=120 seconds (also for run --retry).
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/pod_common.sh"

read_flags() {
  action=$1; shift
  name='' zone='' project='' topology='' accelerator_type='' runtime_version=''
  tier='' wait='' extras=tpu bucket='' retry='' poll=30 grace=120 worker=0 lines=50 follow=''
  alpha='' yes=''
  coordinator='' coordinator_port='' create_flags=() ssh_flags=() environment=() words=()
  while [ $# -gt 0 ]; do
    case $1 in
      --dry-run) dry_run=yes ;;
      --name=*|--zone=*|--project=*|--topology=*|--worker=*|--coordinator=*) take "$1" ;;
      --extras=*|--bucket=*) take "$1" ;;
      --accelerator-type=*|--runtime-version=*|--coordinator-port=*) take "$1" ;;
      --retry=*|--poll=*|--grace=*|--lines=*) number "${1%%=*}" "${1#*=}"; take "$1" ;;
      --spot|--reserved)
        [ -z "$tier" ] || [ "$tier" = "$1" ] || usage "$tier and $1 exclude each other"
        tier=$1 ;;
      --wait) wait=yes ;;
      --follow) follow=follow ;;
      --alpha) alpha=alpha ;;
      --yes) yes=yes ;;
      --create-flag=?*) create_flags+=("${1#*=}") ;;
      --ssh-flag=?*) ssh_flags+=("${1#*=}") ;;
      --env=[A-Za-z_]*=*) environment+=("${1#*=}") ;;
      --) shift; words=("$@"); break ;;
      *) usage "unknown argument '$1'" ;;
    esac
    shift
  done
}

check_flags() {
  need name zone project
  check_resource_name "$name" 63
  case $action in create) known=yes ;; run) known=$retry ;; *) known='' ;; esac
  if [ -z "$accelerator_type" ] || [ -z "$runtime_version" ]; then
    [ -z "$known" ] || need topology
    [ -z "$topology" ] || find_slice "$topology"
  fi
  case $coordinator in ''|*?:[0-9]*) ;; *) usage "--coordinator=$coordinator is not HOST:PORT" ;; esac
  if [ -n "$coordinator_port" ]; then number --coordinator-port "$coordinator_port" 1; fi
  bucket=${bucket#gs://} bucket=${bucket%/}
  case $bucket in */*) usage "--bucket=$bucket: only the bucket's name" ;; esac
  case $worker in all) ;; *) number --worker "$worker" ;; esac
  if [ "$action" = run ]; then
    [ ${#words[@]} -gt 0 ] || usage 'run needs a command: -- python -m experiments.pretrain_lam ...'
  fi
  [ -n "$dry_run" ] || command -v gcloud >/dev/null \
    || die 'no gcloud on PATH; see https://cloud.google.com/sdk/docs/install (--dry-run needs none)'
}

# gcloud's own default project and zone are never used: a pod in the wrong place is expensive.
tpus() {  # tpus NOUN VERB ARGUMENT...
  call gcloud ${alpha:+"$alpha"} compute tpus "$@" --project="$project" --zone="$zone" --quiet </dev/null
}

. "$(dirname "${BASH_SOURCE[0]}")/tpu_pod_slice.sh"
. "$(dirname "${BASH_SOURCE[0]}")/tpu_pod_workers.sh"
. "$(dirname "${BASH_SOURCE[0]}")/tpu_pod_run.sh"

case ${1:-} in
  create|setup|run|logs|status|stop|delete) read_flags "$@" ;;
  -h|--help) show_help; exit 0 ;;
  '') usage 'an action is missing' ;;
  *) usage "unknown action '$1'" ;;
esac
check_flags
scratch=$(mktemp -d)
code=()
trap 'rm -rf "$scratch"' EXIT

case $action in
  setup) pack; setup ;;
  delete) confirm; delete ;;
  *) "$action" ;;
esac
