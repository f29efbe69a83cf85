#!/usr/bin/env bash
# Sets up the environment and runs the whole test suite; further arguments go to pytest.
#
#   bash launch/test.sh                    everything, on python3
#   PYTHON=python3.12 FLEXLAM_VENV=.venv-3.12 bash launch/test.sh
#   bash launch/test.sh tests/models -k null_fill
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

ensure_environment dev
# Two workers: on two cores it halves the wall time, and more only costs memory.
exec env JAX_PLATFORMS=cpu "$python" -m pytest --numprocesses=2 --dist=loadfile \
  --no-loadscope-reorder "$@"
