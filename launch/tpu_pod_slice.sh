# shellcheck shell=bash disable=SC2154   # Sourced by tpu_pod.sh, which sets what is used here.
# The slice itself: whether it is there, asking for it, giving it back.

# States of a node and of a queued resource from which nothing comes back, and those on the way there,
# in which gcloud refuses to delete.
LOST=' PREEMPTED TERMINATED STOPPED SUSPENDED FAILED ABSENT '
LEAVING=' STOPPING DELETING SUSPENDING '
GIVE_UP_AFTER=10     # looks in a row at a slice that does not answer

is_lost() { [ "${LOST#* "$pod" }" != "$LOST" ]; }

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
  local answer request
  workers=0
  ask answer tpu-vm 'state,networkEndpoints.len()' || return 1
  if [ -n "$dry_run" ]; then pod=READY; return; fi     # Of how many workers, nobody knows yet.
  pod=${answer%%[[:space:]]*} workers=${answer##*[[:space:]]}
  case $workers in ''|*[!0-9]*) workers=${hosts:-1} ;; esac
  # Its request outlives a lost slice: it is suspended, which takes minutes.
  if [ -z "$pod" ] || is_lost; then
    ask request queued-resources state.state || return 1
    case $LEAVING in *" $request "*) pod=$request ;; *) pod=${pod:-${request:-ABSENT}} ;; esac
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

# confirm: a question where somebody can answer it.
confirm() {
  local answer
  if [ -n "$yes" ] || [ -n "$dry_run" ] || ! [ -t 0 ]; then return; fi
  look_or_die
  read -r -p "Delete '$name' ($pod) in $zone of $project, with all that is on its disks? [y/N] " answer
  case $answer in [yY]*) ;; *) die 'nothing was deleted' ;; esac
}

delete() {
  if tpus queued-resources delete "$name" --force 2>"$scratch/error"; then
    say "deleted '$name'"
  elif ! grep -q NOT_FOUND "$scratch/error"; then
    die "'$name' was not deleted and may go on costing: $(cat "$scratch/error")"
  # Made without a request: gcloud compute tpus tpu-vm create.
  elif tpus tpu-vm delete "$name" 2>"$scratch/error"; then
    say "deleted '$name'"
  elif grep -q NOT_FOUND "$scratch/error"; then
    say "there is no slice '$name' in $zone of $project; nothing to delete"
  else
    die "'$name' was not deleted and may go on costing: $(cat "$scratch/error")"
  fi
}

