# Stages of a script that is run again: what is finished is skipped. Sourced after env.sh, with the
# output folder in $out.

# A stage is finished when its marker holds the very command that is about to run.
finished() { [ "$(cat "$out/.finished/$1" 2>/dev/null)" = "${*:2}" ]; }
mark_finished() { mkdir -p "$out/.finished" && printf '%s\n' "${*:2}" > "$out/.finished/$1"; }

stage() {  # stage NAME COMMAND...
  local start=$SECONDS
  if finished "$@"; then say "$1: finished before, skipped"; return; fi
  say "$1"
  "${@:2}"
  mark_finished "$@"
  say "$1 took $((SECONDS - start)) s"
}

# A stage in the background writes to a log; join waits for it.
declare -A background=()
start() {  # start NAME COMMAND...
  if finished "$@"; then say "$1: finished before, skipped"; return; fi
  say "$1, beside the next one; its output is in $out/$1.log"
  mkdir -p "$out"
  "${@:2}" > "$out/$1.log" 2>&1 &
  background[$1]=$!
}
join() {  # join NAME COMMAND...
  [ -n "${background[$1]:-}" ] || return 0
  say "waiting for $1"
  wait "${background[$1]}" || die "$1 failed: $(tail -n 5 "$out/$1.log")"
  mark_finished "$@"
}
# They save and stop when the script is stopped.
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
