#!/usr/bin/env bash
# From a bare machine to a world that can be played: environment, video, latent actions, tokenizer,
# dynamics, measures, and the command that opens the page.
#
#   bash launch/world.sh                  on 2 CPU cores, into world_out/
#   bash launch/world.sh --fast           a smoke run of the same stages, which learns nothing
#   bash launch/world.sh --out=DIR        somewhere else
#   bash launch/world.sh --play           and opens the page at the end
#
# Run it again and it skips the stages that are finished; a training that was killed goes on where it
# last saved. Delete the output folder to start over.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
. "$(dirname "${BASH_SOURCE[0]}")/stages.sh"

out=$repo/world_out play='' lam_variant='' variant='' data_flags=()
eval_flags=(--budgets=1,4 --clips=64 --codes=9)  # A third of what the command does by itself.
for argument in "$@"; do
  case $argument in
    --fast)
      lam_variant=:debug variant=:debug data_flags=(--fast)
      eval_flags=(--budgets=1 --clips=4 --horizon=4 --codes=4 --probe_pairs=64 --generated_pairs=16
        --probe_steps=20) ;;
    --play) play=1 ;;
    --out=?*) out=$(realpath -m -- "${argument#--out=}") ;;
    -h|--help) sed -n '2,11s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) die "unknown argument '$argument'; see bash launch/world.sh --help" ;;
  esac
done

export JAX_PLATFORMS=${JAX_PLATFORMS:-cpu}
ensure_environment doom,play

data=(--config.data.path="$out/data" --config.data.datasets="('health_gathering_sticky',)")
lam=("$python" -m experiments.pretrain_lam --config="experiments/configs/doom.py$lam_variant"
  --workdir="$out/lam" "${data[@]}")
tokenizer=("$python" -m experiments.train --config="experiments/configs/tokenizer.py$variant"
  --workdir="$out/tokenizer" "${data[@]}")
source=(--data="$out/data" --datasets=health_gathering_sticky)

# Clips of the dynamics are longer than what a latent action model reads.
stage data "$python" -m data_pipelines.prepare doom --out="$out/data" --max-span=12 \
  "${data_flags[@]}"
start lam "${lam[@]}"
stage tokenizer "${tokenizer[@]}"
join lam "${lam[@]}"
stage translator "$python" -m experiments.align_translator --checkpoint="$out/lam" \
  "${source[@]}" --labels=256 --workdir="$out/translator"
stage dynamics "$python" -m experiments.train --config="experiments/configs/dynamics.py$variant" \
  --workdir="$out/dynamics" "${data[@]}" \
  --config.tokenizer.checkpoint="$out/tokenizer" --config.lam.checkpoint="$out/lam"
stage report "$python" -m experiments.evaluate_world --checkpoint="$out/dynamics" \
  --translator="$out/translator" "${source[@]}" --out="$out/report" "${eval_flags[@]}"

say "done in $((SECONDS / 60)) min $((SECONDS % 60)) s. What it obeys: $out/report/report.html"
page=("$python" -m experiments.play --checkpoint="$out/dynamics" --translator="$out/translator"
  "${source[@]}")
if [ -n "$play" ]; then exec "${page[@]}"; fi
say "play it: ${page[*]}"
