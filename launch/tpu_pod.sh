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
#   delete    give the slice back
#
# All: --dry-run prints every command and runs none. --ssh-flag=FLAG goes to gcloud's ssh and scp
#   (--ssh-flag=--internal-ip), again for each flag.
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

LOST=' PREEMPTED TERMINATED STOPPED STOPPING DELETING SUSPENDING SUSPENDED FAILED ABSENT '
PACK_LIMIT=204800    # kB of code
GIVE_UP_AFTER=10     # looks in a row at a slice that does not answer

read_flags() {
  action=$1; shift
  name='' zone='' project='' topology='' accelerator_type='' runtime_version=''
  tier='' wait='' extras=tpu bucket='' retry='' poll=30 grace=120 worker=0 lines=50 follow=''
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
  else
    [ ${#words[@]} -eq 0 ] || usage "$action takes no command"
  fi
  [ -n "$dry_run" ] || command -v gcloud >/dev/null \
    || die 'no gcloud on PATH; see https://cloud.google.com/sdk/docs/install (--dry-run needs none)'
}

# gcloud's own default project and zone are never used: a pod in the wrong place is expensive.
tpus() {  # tpus NOUN VERB ARGUMENT...
  call gcloud compute tpus "$@" --project="$project" --zone="$zone" --quiet </dev/null
}

# ---- the slice ----

# ask VARIABLE NOUN FORMAT: one value of `describe`, "" when there is no such thing.
ask() {
  local found
  if found=$(tpus "$2" describe "$name" --format="value($3)" 2>"$scratch/error"); then
    printf -v "$1" %s "$found"
  elif grep -q NOT_FOUND "$scratch/error"; then
    printf -v "$1" %s ''
  else
    return 1
  fi
}

# look: `pod` becomes the state of the slice and `workers` their number. 1 if gcloud failed.
look() {
  local answer
  workers=0
  ask answer tpu-vm 'state,networkEndpoints.len()' || return 1
  if [ -n "$dry_run" ]; then pod=READY; return; fi     # Of how many workers, nobody knows yet.
  pod=${answer%%[[:space:]]*} workers=${answer##*[[:space:]]}
  if [ -z "$pod" ]; then
    ask pod queued-resources state.state || return 1
    pod=${pod:-ABSENT}
  fi
}

look_or_die() { look || die "gcloud failed: $(cat "$scratch/error")"; }

need_ready() {
  look_or_die
  case $pod in
    READY) ;;
    ABSENT) die "there is no slice '$name' in $zone of $project; make one with create" ;;
    *) die "slice '$name' is $pod, not READY; see status" ;;
  esac
}

create() {
  local flags=()
  if [ -n "$tier" ]; then flags+=("$tier"); fi
  tpus queued-resources create "$name" --node-id="$name" --accelerator-type="$accelerator_type" \
    --runtime-version="$runtime_version" ${flags[@]+"${flags[@]}"} \
    ${create_flags[@]+"${create_flags[@]}"} \
    || die "the request was refused, see above. If '$name' exists already: status, or delete it first"
  say "asked for $accelerator_type as '$name'"
  if [ -n "$wait" ]; then await_ready; fi
}

await_ready() {
  local failures=0 last=''
  while :; do
    if look; then
      failures=0
      [ "$pod" != READY ] || break
      case $pod in
        FAILED|SUSPENDED) die "the request for '$name' is $pod: gcloud compute tpus queued-resources" \
          "describe $name --zone=$zone --project=$project says why; delete it before another try" ;;
      esac
      [ "$pod" = "$last" ] || say "$name: $pod (Ctrl-C leaves the request in the queue)"
      last=$pod
    else
      failures=$((failures + 1))
      [ "$failures" -lt "$GIVE_UP_AFTER" ] || die "gcloud failed: $(cat "$scratch/error")"
    fi
    sleep "$poll"
  done
  say "$name is ready"
}

delete() {
  if tpus queued-resources delete "$name" --force 2>"$scratch/error"; then
    say "deleted '$name'"
  elif grep -q NOT_FOUND "$scratch/error"; then
    say "there is no slice '$name' in $zone of $project; nothing to delete"
  else
    die "'$name' was not deleted and may go on costing: $(cat "$scratch/error")"
  fi
}

# ---- all workers ----

# everywhere REMOTE: runs the shell text on every worker. Output and exit code of worker i are
# then $out/i.log and code[i]; "" as code means that it was not reached. 0 if all returned 0.
everywhere() {
  local i last bad=0
  rm -rf "$out" && mkdir "$out"
  tpus tpu-vm ssh "$name" --worker=all --output-directory="$out" ${ssh_flags[@]+"${ssh_flags[@]}"} \
    --command="$1; echo flexlam-exit=\$?" >"$scratch/ssh" 2>&1 || true
  if [ -n "$dry_run" ]; then return 0; fi
  for ((i = 0; i < workers; i++)); do
    last=$(tail -n 1 "$out/$i.log" 2>/dev/null || true)
    case $last in flexlam-exit=*) code[i]=${last#*=} ;; *) code[i]='' ;; esac
    [ "${code[i]}" = 0 ] || bad=1
  done
  return $bad
}

# report: what each worker printed, under its number; what kept gcloud from reaching one.
report() {
  local i
  for ((i = 0; i < workers; i++)); do
    if [ -n "${code[i]:-}" ]; then
      sed -e '/^flexlam-exit=/d' -e "s/^/[worker $i] /" "$out/$i.log"
    else
      printf '[worker %s] not reached: %s\n' "$i" "$(grep . "$scratch/ssh" | tail -n 1 || true)"
    fi
  done
}

# The numbers of the workers on which `everywhere` did not get a 0.
failed_workers() {
  local i result=''
  for ((i = 0; i < workers; i++)); do [ "${code[i]}" = 0 ] || result="$result $i"; done
  printf '%s' "${result# }"
}

on_worker() { quote bash flexlam/checkout/launch/worker.sh "$@"; }

# What is copied: the files of the checkout as they are now, without those that git ignores.
list_files() {
  local file
  if git rev-parse --git-dir >/dev/null 2>&1; then
    git ls-files -z --cached --others --exclude-standard
  else
    find . -type f ! -path '*/.git/*' ! -path './.venv*' ! -path '*/__pycache__/*' -print0
  fi | while IFS= read -r -d '' file; do
    if [ -e "$file" ] || [ -L "$file" ]; then printf '%s\0' "$file"; fi    # Not: deleted ones.
  done
}

# pack: $scratch/flexlam.tar.gz, and `revision`, which differs when any file does.
pack() {
  if [ -n "$dry_run" ]; then
    echo "# packs $repo, without what git ignores, into $scratch/flexlam.tar.gz" >&3
    return
  fi
  local list=$scratch/files kilobytes changes
  (cd "$repo" && list_files) > "$list"
  kilobytes=$(cd "$repo" && xargs -0 du -k < "$list" | awk '{sum += $1} END {print sum + 0}')
  if [ "$kilobytes" -gt "$PACK_LIMIT" ]; then
    (cd "$repo" && xargs -0 du -k < "$list" | sort -rn | head -n 3) >&2
    die "the checkout would be copied with $((kilobytes / 1024)) MB, the largest files are above" \
      '(in kB). Data and runs belong in a bucket, or into .gitignore.'
  fi
  changes=$(cd "$repo" && xargs -0 cksum < "$list" 2>/dev/null | LC_ALL=C sort | cksum | tr ' ' -)
  if revision=$(git -C "$repo" rev-parse HEAD 2>/dev/null); then
    if [ -n "$(git -C "$repo" status --porcelain)" ]; then revision=$revision+changes-$changes; fi
  else
    revision=nogit-$changes
  fi
  mkdir "$scratch/tree"
  (cd "$repo" && tar -cf - --null -T "$list") | tar -xf - -C "$scratch/tree"
  printf '%s\n' "$revision" > "$scratch/tree/.revision"
  tar -czf "$scratch/flexlam.tar.gz" -C "$scratch/tree" .
}

setup() {
  need_ready
  say 'copying this checkout to all workers'
  tpus tpu-vm scp "$scratch/flexlam.tar.gz" "$name:flexlam.tar.gz" --worker=all \
    ${ssh_flags[@]+"${ssh_flags[@]}"} >"$scratch/scp" 2>&1 \
    || die "copying failed: $(grep . "$scratch/scp" | tail -n 5 || true)"
  say 'installing (minutes the first time)'
  everywhere "rm -rf flexlam/new && mkdir -p flexlam/new && tar -xzf flexlam.tar.gz -C flexlam/new \
&& $(quote bash flexlam/new/launch/worker.sh install "$extras" ${bucket:+"$bucket"})" \
    || { report >&2; die "setup failed on worker(s) $(failed_workers)"; }
  report
}

stop_all() { everywhere "$(on_worker stop "$grace")"; }

logs() {
  need_ready
  local remote
  remote=$(on_worker logs "$lines" ${follow:+"$follow"})
  tpus tpu-vm ssh "$name" --worker="$worker" ${ssh_flags[@]+"${ssh_flags[@]}"} --command="$remote"
}

. "$(dirname "${BASH_SOURCE[0]}")/tpu_pod_run.sh"

case ${1:-} in
  create|setup|run|logs|status|stop|delete) read_flags "$@" ;;
  -h|--help) show_help; exit 0 ;;
  '') usage 'an action is missing' ;;
  *) usage "unknown action '$1'" ;;
esac
check_flags
scratch=$(mktemp -d)
out=$scratch/out
code=()
trap 'rm -rf "$scratch"' EXIT

case $action in
  setup) pack; setup ;;
  stop)
    need_ready
    done_well=yes; stop_all || done_well=''
    report
    [ -n "$done_well" ] || die "worker(s) $(failed_workers) did not stop well" ;;
  *) "$action" ;;
esac
