#!/usr/bin/env bash
# From a bare machine to an evaluated latent action model: environment, data, three trainings, report.
#
#   bash launch/quickstart.sh                  6 to 10 minutes on 2 CPU cores, into quickstart_out/
#   bash launch/quickstart.sh --fast           a smoke run of the same stages in about a minute
#   bash launch/quickstart.sh --out=DIR        somewhere else
#
# Run it again and it skips the stages that are finished; a training that was killed goes on where it
# last saved. Delete the output folder to start over.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

out=$repo/quickstart_out config=experiments/configs/doom.py variants='' data_flags=() eval_flags=()
for argument in "$@"; do
  case $argument in
    --fast) variants=debug data_flags=(--fast) eval_flags=(--draws=2) ;;
    --out=?*) out=$(realpath -m -- "${argument#--out=}") ;;
    -h|--help) sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) die "unknown argument '$argument'; see bash launch/quickstart.sh --help" ;;
  esac
done

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

training() {  # training NAME VARIANT -> the command, in $command
  command=("$python" -m experiments.pretrain_lam --config="$config:$variants,$2"
    --workdir="$out/$1" --config.data.path="$out/data")
}

# A training in the background writes to a log; join waits for it.
declare -A background=()
start() {  # start NAME VARIANT
  training "$@"
  if finished "$1" "${command[@]}"; then say "$1: finished before, skipped"; return; fi
  say "$1, beside the next one; its output is in $out/$1.log"
  "${command[@]}" > "$out/$1.log" 2>&1 &
  background[$1]=$!
}
join() {  # join NAME VARIANT
  [ -n "${background[$1]:-}" ] || return 0
  say "waiting for $1"
  wait "${background[$1]}" || die "$1 failed: $(tail -n 5 "$out/$1.log")"
  training "$@"
  mark_finished "$1" "${command[@]}"
}

export JAX_PLATFORMS=${JAX_PLATFORMS:-cpu}
ensure_environment doom

stage data "$python" -m data_pipelines.prepare doom --out="$out/data" "${data_flags[@]}"

# Side by side the three trainings fill two cores and end much sooner than one after the other.
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT   # They save and stop when this script is stopped.
start fixed_k1 fixed=1
start fixed_k4 fixed=4
training flexlam ""
stage flexlam "${command[@]}"
join fixed_k1 fixed=1
join fixed_k4 fixed=4

stage translator "$python" -m experiments.align_translator --checkpoint="$out/flexlam" \
  --data="$out/data" --datasets=health_gathering_sticky --labels=256 --workdir="$out/translator"
stage report "$python" -m experiments.evaluate_lam --checkpoint="$out/flexlam" \
  --compare="fixed_k1=$out/fixed_k1,fixed_k4=$out/fixed_k4" --budgets=1,2,4 \
  --data="$out/data" --datasets=health_gathering_sticky --out="$out/report" "${eval_flags[@]}"

say "done in $((SECONDS / 60)) min $((SECONDS % 60)) s. Open $out/report/report.html"
