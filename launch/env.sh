# shellcheck shell=bash
# Sourced by the other launch scripts: makes the project's virtual environment once and keeps it current.
#
#   PYTHON        interpreter to build it with (default: python3); 3.11 or newer
#   FLEXLAM_VENV  where it goes (default: .venv in the checkout)
#
# After sourcing, $python is the environment's interpreter and the working directory is the checkout.

repo=$(dirname "$(dirname "$(realpath -- "${BASH_SOURCE[0]}")")")
venv=${FLEXLAM_VENV:-$repo/.venv}
python=$venv/bin/python

die() { printf 'flexlam_jax: %s\n' "$*" >&2; exit 1; }

say() { printf '\n== %s\n' "$*"; }

# What an environment is made of: when this is unchanged, it is current.
environment_stamp() {  # environment_stamp INTERPRETER CONSTRAINTS
  { "$1" -c 'import sys; print(sys.version)'; printf '%s\n' "$repo"
    cat "$repo/pyproject.toml" "$2"; } | sha256sum | cut -c1-16
}

ensure_environment() {  # ensure_environment EXTRAS
  local extras=$1 base=${PYTHON:-python3} version constraints stamp
  command -v "$base" >/dev/null || die "no '$base' on PATH. Install Python 3.11 or newer, or set PYTHON=/path/to/python3.12"
  version=$("$base" -c 'import sys; print("%d%d" % sys.version_info[:2])')
  [ "$version" -ge 311 ] || die "$base is Python ${version/3/3.}; flexlam_jax needs 3.11 or newer. Set PYTHON=/path/to/python3.12"
  constraints=$repo/launch/constraints-py$version.txt
  if [ ! -f "$constraints" ]; then
    say "no tested versions for Python ${version/3/3.}; using the ranges of pyproject.toml"
    constraints=/dev/null
  fi
  stamp=$(environment_stamp "$base" "$constraints")
  # The extra `dev` holds all the others that scripts ask for.
  if [ -e "$venv/.made-$stamp-$extras" ] || [ -e "$venv/.made-$stamp-dev" ]; then return; fi

  say "making the virtual environment $venv"
  if ! "$base" -c 'import ensurepip' 2>/dev/null; then   # Debian and Ubuntu ship it separately
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
      say "python3-venv is missing; installing it with apt-get"
      apt-get update -qq && apt-get install -y -qq python3-venv
    else
      die "Python's venv module is missing. Run: sudo apt-get install python3-venv"
    fi
  fi
  "$base" -m venv "$venv" || die "could not create $venv"
  "$python" -m pip install --quiet --disable-pip-version-check --constraint "$constraints" \
    --editable "${repo}[$extras]" || die "pip could not install the dependencies; see its message above"
  touch "$venv/.made-$stamp-$extras"
}

cd "$repo" || exit 1
