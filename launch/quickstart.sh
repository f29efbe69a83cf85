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
. "$(dirname "${BASH_SOURCE[0]}")/stages.sh"

out=$repo/quickstart_out config=experiments/configs/doom.py variants='' data_flags=() eval_flags=()
for argument in "$@"; do
  case $argument in
    --fast) variants=debug data_flags=(--fast) eval_flags=(--draws=2) ;;
    --out=?*) out=$(realpath -m -- "${argument#--out=}") ;;
    -h|--help) sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) die "unknown argument '$argument'; see bash launch/quickstart.sh --help" ;;
  esac
done

training() {  # training NAME VARIANT -> the command, in $command
  command=("$python" -m experiments.pretrain_lam --config="$config:$variants,$2"
    --workdir="$out/$1" --config.data.path="$out/data")
}

export JAX_PLATFORMS=${JAX_PLATFORMS:-cpu}
ensure_environment doom

stage data "$python" -m data_pipelines.prepare doom --out="$out/data" "${data_flags[@]}"

# Side by side the three trainings fill two cores and end much sooner than one after the other.
training fixed_k1 fixed=1; fixed_k1=("${command[@]}")
training fixed_k4 fixed=4; fixed_k4=("${command[@]}")
training flexlam ""
start fixed_k1 "${fixed_k1[@]}"
start fixed_k4 "${fixed_k4[@]}"
stage flexlam "${command[@]}"
join fixed_k1 "${fixed_k1[@]}"
join fixed_k4 "${fixed_k4[@]}"

stage translator "$python" -m experiments.align_translator --checkpoint="$out/flexlam" \
  --data="$out/data" --datasets=health_gathering_sticky --labels=256 --workdir="$out/translator"
stage report "$python" -m experiments.evaluate_lam --checkpoint="$out/flexlam" \
  --compare="fixed_k1=$out/fixed_k1,fixed_k4=$out/fixed_k4" --budgets=1,2,4 \
  --data="$out/data" --datasets=health_gathering_sticky --out="$out/report" "${eval_flags[@]}"

say "done in $((SECONDS / 60)) min $((SECONDS % 60)) s. Open $out/report/report.html"
