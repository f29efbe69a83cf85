#!/usr/bin/env bash
# What can be said of the code without running it: format, lint, types of public signatures.
#
#   bash launch/check.sh          looks
#   bash launch/check.sh --fix    formats, and mends what the linter can
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

ensure_environment dev
if [ "${1:-}" = --fix ]; then
  "$python" -m ruff check --quiet --fix . || true   # What is left is told below.
  "$python" -m ruff format --quiet .
fi
"$python" -m ruff format --check --quiet . || die "some files are not formatted; run bash launch/check.sh --fix"
"$python" -m ruff check --quiet .
"$python" -m mypy
