#!/usr/bin/env bash
# From a bare machine to HiLAM beside flat BAKU: environments, demonstrations, latent actions, skills,
# policies, evaluation, report. On one task of OGBench's scene, 50 demonstrations, 10 and 50 % of them.
#
#   bash launch/hilam.sh                  into hilam_out/
#   bash launch/hilam.sh --fast           a smoke run of the same stages, which learns nothing
#   bash launch/hilam.sh --out=DIR        somewhere else
#
# Run it again and it skips what is finished; a training that was killed goes on where it last saved.
# Delete the output folder to start over. The simulator goes into $OGBENCH_ENV, by default below
# ~/.cache/flexlam_jax/environments, and needs EGL: apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri
# More tasks, shares, seeds and arms: the last command below, see docs/results/README.md.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

out=$repo/hilam_out
study=(--tasks=window --shares=10,50 --arms=baku,hilam --episodes=20 --execute=5
  --high_config=experiments/configs/baku.py:ogbench,high
  --policy_config=experiments/configs/baku.py:ogbench)
for argument in "$@"; do
  case $argument in
    --fast) study=(--fast --execute=5) ;;
    --out=?*) out=$(realpath -m -- "${argument#--out=}") ;;
    -h|--help) sed -n '2,12s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) die "unknown argument '$argument'; see bash launch/hilam.sh --help" ;;
  esac
done

export JAX_PLATFORMS=${JAX_PLATFORMS:-cpu}
ensure_environment video

simulator=${OGBENCH_ENV:-$HOME/.cache/flexlam_jax/environments/ogbench}
if ! "$simulator/bin/python" -c 'import ogbench' 2>/dev/null; then
  say "making the simulator's environment $simulator"
  "$python" -m data_pipelines.simulators.remote.environments ogbench
fi

start=$SECONDS
say "demonstrations, trainings and evaluations; the output of each is in $out/logs"
"$python" -m experiments.hilam_study --out="$out" "${study[@]}"
say "done in $(((SECONDS - start) / 60)) min. Open $out/report.html"
