# shellcheck shell=bash disable=SC2154   # Sourced by tpu_pod.sh, which sets what is used here.
# The command on the workers of a slice: starting it, looking at it, starting it again.

# survey: state[i] of worker i (running, exited, stopped, idle, missing, unreached), value[i] (pid or
# exit code), made[i] (revision of its code) and mounted[i] (bucket, or -). 1 if a worker was not
# reached.
survey() {
  local i reached=0
  state=() value=() made=() mounted=()
  everywhere "$(on_worker status)" || true
  for ((i = 0; i < workers; i++)); do
    case ${code[i]} in
      0) read -r 'state[i]' 'value[i]' 'made[i]' 'mounted[i]' \
           <<< "$(sed -n 's/^flexlam-state //p' "$out/$i.log")" ;;
      '') state[i]=unreached value[i]=- made[i]=-; reached=1 ;;
      *) state[i]=missing value[i]=- made[i]=- ;;
    esac
  done
  return $reached
}

# which_are STATE, which_are_not STATE: the numbers of workers.
which_are() {
  local i result=''
  for ((i = 0; i < workers; i++)); do [ "${state[i]}" != "$1" ] || result="$result $i"; done
  printf '%s' "${result# }"
}

which_are_not() {
  local i result=''
  for ((i = 0; i < workers; i++)); do [ "${state[i]}" = "$1" ] || result="$result $i"; done
  printf '%s' "${result# }"
}

status() {
  look_or_die
  if [ -n "$dry_run" ]; then survey; return; fi
  echo "$name: $pod"
  if [ "$pod" != READY ]; then return; fi
  survey || true
  local i
  for ((i = 0; i < workers; i++)); do
    case ${state[i]} in
      running) echo "[worker $i] running, pid ${value[i]}, revision ${made[i]}" ;;
      exited) echo "[worker $i] exited with code ${value[i]}, revision ${made[i]}" ;;
      stopped) echo "[worker $i] stopped with exit code ${value[i]}, revision ${made[i]}" ;;
      idle) echo "[worker $i] set up, nothing started, revision ${made[i]}" ;;
      missing) echo "[worker $i] not set up" ;;
      unreached) echo "[worker $i] not reached: $(why_unreached "$i")" ;;
    esac
  done
  [ -z "$(which_are unreached)" ]
}

# All workers set up alike and none busy, or a message.
check_idle() {
  local list i
  survey || { report >&2; die "worker(s) $(which_are unreached) not reached; nothing was started"; }
  list=$(which_are missing); [ -z "$list" ] || die "worker(s) $list not set up; run setup first"
  list=$(which_are running)
  [ -z "$list" ] || die "a command is already running on worker(s) $list; see logs, or stop it first"
  for ((i = 1; i < workers; i++)); do
    [ "${made[i]}" = "${made[0]}" ] || die "worker $i has revision ${made[i]} and worker 0" \
      "${made[0]}; run setup again, it brings all to this checkout"
  done
}

# check_renewal: that a slice made anew would be like this one.
check_renewal() {
  [ "$revision" = "${made[0]}" ] || die "the workers have revision ${made[0]}, this checkout is" \
    "$revision: a new slice would run other code. Run setup first."
  [ "${bucket:--}" = "${mounted[0]}" ] || die "setup mounted '${mounted[0]}', --bucket is" \
    "'${bucket:--}' (- is none): a new slice would not find the runs. Give run and setup the same."
}

start() {
  local variables=(${environment[@]+"${environment[@]}"})
  if [ -n "$coordinator" ]; then
    variables+=("COORDINATOR_ADDRESS=$coordinator" "NUM_PROCESSES=$workers")
  fi
  if [ -n "$coordinator_port" ]; then variables+=("JAX_COORDINATOR_PORT=$coordinator_port"); fi
  if everywhere "$(on_worker start ${variables[@]+"${variables[@]}"} -- "${words[@]}")"; then return; fi
  report >&2
  local failed; failed=$(failed_workers)
  # The others would wait for the missing ones until a time-out.
  grace=5 stop_all || true
  die "the command did not start on worker(s) $failed; stopped on the others"
}

run() {
  if [ -n "$retry" ]; then pack; fi
  need_ready
  if [ -z "$dry_run" ]; then check_idle; else survey; fi
  if [ -n "$retry" ] && [ -z "$dry_run" ]; then check_renewal; fi
  start
  say "started on all workers: $(quote "${words[@]}")"
  if [ -z "$retry" ]; then
    report
    say "next: status, logs --follow, stop"
  elif [ -n "$dry_run" ]; then
    plan_retry
  else
    trap 'say "left alone: the command goes on; see status, or stop"; exit 130' INT
    supervise
  fi
}

# What supervise would call, for a dry run.
plan_retry() {
  echo "# every $poll s: is the slice there, and the command running?" >&3
  look; survey
  echo "# when the slice was preempted, up to $retry times:" >&3
  renew
  start
}

renew() { delete; wait=yes create; setup; }

# Waits for the end of the command; restarts it while it may be restarted.
supervise() {
  local tries=0 silent=0 renewing='' why
  while :; do
    sleep "$poll"
    if ! look || { [ "$pod" = READY ] && ! survey; }; then
      silent=$((silent + 1))
      [ "$silent" -lt "$GIVE_UP_AFTER" ] || die "'$name' did not answer $silent times in a row; the" \
        "command may still run: $(cat "$scratch/error" "$scratch/ssh" 2>/dev/null | grep . | tail -n 1)"
      continue
    fi
    silent=0
    if is_lost; then
      [ "$pod" != ABSENT ] || [ -n "$renewing" ] \
        || die "'$name' is gone: somebody deleted it, so it is not made anew"
      why="'$name' is $pod; making it anew" renewing=yes
    elif [ "$pod" != READY ]; then
      continue              # Under repair, or being made.
    elif [ -n "$(which_are running)" ]; then
      if [ -n "$(which_are_not running)" ]; then end_together; fi
      continue
    else
      judge
      case $verdict in
        finished) say 'finished on all workers'; return ;;
        stopped) say 'ended by stop, so it is not started again'; exit "$EXIT_INTERRUPTED" ;;
      esac
      why='interrupted; starting the command again'
    fi
    tries=$((tries + 1))
    [ "$tries" -le "$retry" ] \
      || { say "interrupted again after $retry restarts"; exit "$EXIT_INTERRUPTED"; }
    say "$why ($tries of $retry)"
    # In a shell of its own: a slice that is preempted while it is set up is one more try.
    if ( bring_back ); then renewing=''; else say 'that did not work'; fi
  done
}

bring_back() {
  if is_lost; then
    renew
  elif [ -n "$(which_are missing)" ]; then
    setup                   # A machine was replaced.
  fi
  start
}

# Some workers have ended. The others follow by themselves, as all stop after the same step, or
# else wait for a lost one and must be stopped.
end_together() {
  local deadline=$((SECONDS + grace))
  say "ended on worker(s) $(which_are_not running), not yet on $(which_are running)"
  while [ "$SECONDS" -lt "$deadline" ]; do
    sleep "$(( poll < 5 ? poll : 5 ))"
    survey || return 0      # The next look tells a preempted slice from a bad connection.
    [ -n "$(which_are running)" ] || return 0
  done
  say "stopping worker(s) $(which_are running)"
  stop_all || true
}

# judge: `verdict` is "finished" (0 on all workers), "stopped" (by the action stop, on any) or
# "interrupted" (the rest can be restarted).
judge() {
  local i error=''
  verdict=finished
  for ((i = 0; i < workers; i++)); do
    case ${state[i]}/${value[i]} in
      exited/0|stopped/0) ;;
      stopped/*) verdict=stopped; return ;;
      exited/*) if may_restart "${value[i]}"; then verdict=interrupted; else error=${error:-$i}; fi ;;
      *) verdict=interrupted ;;     # A machine that was replaced has never heard of the command.
    esac
  done
  [ -n "$error" ] || return 0
  i=$error
  tpus tpu-vm ssh "$name" --worker="$i" ${ssh_flags[@]+"${ssh_flags[@]}"} \
    --command="$(on_worker logs 20)" >&2 || true
  die "the command failed on worker $i with exit code ${value[i]}; its last lines are above." \
    'A restart would not mend that.'
}
