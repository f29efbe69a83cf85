# shellcheck shell=bash disable=SC2034   # What is set here is used by the scripts that source this.
# Sourced by tpu_pod.sh, gke_jobset.sh and gpu_slurm.sh: slices by name, quoting, dry runs, flags.
# Runs on a laptop too, so it keeps to bash 3.2 and to options that macOS tools know.

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
EXIT_INTERRUPTED=75    # The command saved itself and continues when started again.

# may_restart CODE: whether starting again helps. 75 interrupted, 76 hung, 77 another process was
# lost (experiments/cli.py); above 128 killed by a signal, as JAX does when a neighbour is gone.
# All else, 1 and 2 above all, is an error that would come again.
may_restart() { case $1 in 75|76|77) ;; *) [ "$1" -gt 128 ] ;; esac; }

dry_run=''

die() { printf 'flexlam_jax: %s\n' "$*" >&2; exit 1; }

say() { [ -n "$dry_run" ] || printf '== %s\n' "$*" >&2; }

# Prints the comment at the top of the script as its help.
show_help() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; }

# usage MESSAGE: how it goes, then what is wrong, where it is seen.
usage() { { show_help; printf '\nflexlam_jax: %s\n' "$*"; } >&2; exit 2; }

# quote WORD...: the words as a POSIX shell reads them back, whatever they hold.
quote() {
  local word result='' escaped="'\\''"
  for word in "$@"; do
    case $word in
      ''|*[!A-Za-z0-9_./:=@%+,-]*) word="'${word//\'/$escaped}'" ;;
    esac
    result="$result $word"
  done
  printf '%s' "${result# }"
}

# call COMMAND...: runs it, or prints it in a dry run. File descriptor 3 is the script's stdout, so
# that commands whose output is captured are printed all the same.
exec 3>&1
call() {
  if [ -n "$dry_run" ]; then printf '%s\n' "$(quote "$@")" >&3; return 0; fi
  "$@"
}

# take --some-flag=value sets some_flag.
take() {
  local variable=${1%%=*}
  variable=${variable#--}
  printf -v "${variable//-/_}" %s "${1#*=}"
}

# need NAME...: each --name must have been given.
need() {
  local flag variable
  for flag in "$@"; do
    variable=${flag//-/_}
    [ -n "${!variable:-}" ] || usage "--$flag is missing"
  done
}

# number FLAG VALUE [LEAST]
number() {
  case $2 in ''|*[!0-9]*) usage "$1=$2 is not a whole number" ;; esac
  [ "$2" -ge "${3:-0}" ] || usage "$1=$2 must be at least ${3:-0}"
}

# check_resource_name NAME LENGTH: what Google's services take as the name of a thing.
check_resource_name() {
  local pattern='^[a-z]([-a-z0-9]*[a-z0-9])?$'
  if ! [[ $1 =~ $pattern ]] || [ ${#1} -gt "$2" ]; then
    usage "--name=$1: up to $2 small letters, digits and -, a letter first and no - at the end"
  fi
}

# One line per slice: name, arrangement of its chips. v4-N and v5p-N count TensorCores (two to a
# chip), v5e-N and v6e-N count chips; `python -m experiments.plan_pod` uses the same names.
slices() {
  local cubes='8 2x2x1 16 2x2x2 32 2x2x4 64 2x4x4 128 4x4x4 256 4x4x8 512 4x8x8 1024 8x8x8
               2048 8x8x16 4096 8x16x16 8192 16x16x16'
  local squares='1 1x1 4 2x2 8 2x4 16 4x4 32 4x8 64 8x8 128 8x16 256 16x16'
  # shellcheck disable=SC2086   # Words on purpose.
  { printf 'v4-%s %s\n' $cubes
    printf 'v5e-%s %s\n' $squares
    printf 'v5p-%s %s\n' $cubes 12288 16x16x24
    printf 'v6e-%s %s\n' $squares; }
}

# find_slice NAME -> accelerator_type, runtime_version (unless set), gke_accelerator, layout, chips,
# chips_per_host, hosts.
find_slice() {
  layout=$(slices | awk -v name="$1" '$1 == name {print $2}')
  if [ -z "$layout" ]; then
    printf 'flexlam_jax: there is no TPU slice "%s"; those that exist are\n' "$1" >&2
    slices | awk '{split($1, part, "-"); if (part[1] != last) printf "%s  ", last ? "\n" : "";
                   printf "%s ", $1; last = part[1]} END {print ""}' >&2
    die 'v4-N and v5p-N count TensorCores, two per chip; v5e-N and v6e-N count chips. For another' \
      'one give --accelerator-type and --runtime-version.'
  fi
  local type runtime
  case $1 in
    v4-*)  type=$1 runtime=tpu-ubuntu2204-base gke_accelerator=tpu-v4-podslice ;;
    v5e-*) type=v5litepod-${1#v5e-} runtime=v2-alpha-tpuv5-lite
           gke_accelerator=tpu-v5-lite-podslice ;;
    v5p-*) type=$1 runtime=v2-alpha-tpuv5 gke_accelerator=tpu-v5p-slice ;;
    v6e-*) type=$1 runtime=v2-alpha-tpuv6e gke_accelerator=tpu-v6e-slice ;;
  esac
  accelerator_type=${accelerator_type:-$type} runtime_version=${runtime_version:-$runtime}
  chips=$(( ${layout//x/*} ))
  # Four chips to a machine, except that a flat slice of eight is one machine.
  chips_per_host=4
  case $layout in 1x1) chips_per_host=1 ;; 2x4) chips_per_host=8 ;; esac
  hosts=$(( chips / chips_per_host ))
}
