#!/usr/bin/env bash
# One worker of a pod: what tpu_pod.sh runs on each machine. Everything lives in ~/flexlam:
#
#   checkout/   the code        venv/   its environment
#   logs/       one file per start, latest.log the newest
#   run/        command, pid, exit (the code of the last command), lock (held while one runs)
#
#   bucket/     the bucket, if setup was ever given one; checkout/bucket leads there
#
#   worker.sh install EXTRAS [BUCKET]    the code unpacked in ~/flexlam/new becomes the checkout
#   worker.sh start [NAME=VALUE...] -- COMMAND...
#   worker.sh status    flexlam-state running PID REVISION BUCKET, or exited CODE, stopped CODE, idle -
#   worker.sh logs LINES [follow]
#   worker.sh stop SECONDS [for-good]    SIGTERM, then SIGKILL when the time is over
set -uo pipefail

root=${FLEXLAM_ROOT:-$HOME/flexlam}
run=$root/run
mkdir -p "$run" "$root/logs" || exit 1

fail() { printf '%s\n' "$*"; exit 1; }

# The command and the shell that waits for it hold the lock, so it is free when both are gone, and
# also after the machine restarted.
running() { ! flock --nonblock "$run/lock" true; }

revision() { cat "$root/checkout/.revision" 2>/dev/null || echo none; }

# The number of this machine in the slice, 0 being the coordinator.
worker_number() {
  local url=http://metadata.google.internal/computeMetadata/v1/instance/attributes/agent-worker-number
  if [ -n "${TPU_WORKER_ID:-}" ]; then echo "$TPU_WORKER_ID"; return; fi
  curl --silent --fail --max-time 5 --header 'Metadata-Flavor: Google' "$url" && return
  hostname | sed -n 's/.*-w-\([0-9][0-9]*\)$/\1/p'
}

# Images for TPUs have come with Python 3.10, which is too old.
find_python() {
  local candidate
  for candidate in ${PYTHON:-} python3.12 python3.11 python3; do
    "$candidate" -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' \
      2>/dev/null && { echo "$candidate"; return; }
  done
  echo 'no Python 3.11 or 3.12 here; installing 3.12 with uv' >&2
  export PATH=$HOME/.local/bin:$PATH
  command -v uv >/dev/null || python3 -m pip install --quiet --user uv >&2 \
    || curl -LsSf https://astral.sh/uv/install.sh | sh >&2 || return 1
  uv python install --quiet 3.12 >&2 && uv python find 3.12
}

# A folder that all workers share, for data and runs. Workers must see at once what others wrote,
# so nothing that gcsfuse knows of files is kept, nor that there were none.
mount_bucket() {
  local bucket
  bucket=$(cat "$root/bucket.name" 2>/dev/null) || return 0
  mountpoint --quiet "$root/bucket" && return
  command -v gcsfuse >/dev/null || install_gcsfuse || fail 'could not install gcsfuse'
  mkdir -p "$root/bucket"
  gcsfuse --implicit-dirs --metadata-cache-ttl-secs=0 --metadata-cache-negative-ttl-secs=0 \
    "$bucket" "$root/bucket" || fail \
    "could not mount the bucket '$bucket'; may the service account of the slice read and write it?"
}

# A checkpoint is written under another name and renamed when it is complete. Buckets without a
# hierarchical namespace cannot rename folders (gcsfuse, docs/semantics.md).
check_bucket() {
  local bucket probe
  bucket=$(cat "$root/bucket.name") probe=$root/bucket/.flexlam-probe-$(hostname)-$$
  if ! mkdir -p "$probe.new/part" || ! echo probe > "$probe.new/part/file"; then
    fail "cannot write to the bucket '$bucket'; may the service account of the slice do so?"
  fi
  if ! mv "$probe.new" "$probe"; then
    rm -rf "$probe.new"
    fail "folders in the bucket '$bucket' cannot be renamed, as checkpoints must be. Make one with" \
      "gcloud storage buckets create gs://NAME --location=REGION --uniform-bucket-level-access" \
      '--enable-hierarchical-namespace'
  fi
  rm -rf "$probe"
}

# Another bucket than that of the last setup must not be hidden behind its mount.
change_bucket() {
  if [ "$(cat "$root/bucket.name" 2>/dev/null)" != "$1" ] && mountpoint --quiet "$root/bucket"; then
    fusermount -u "$root/bucket" || fail "could not unmount the bucket '$(cat "$root/bucket.name")'"
  fi
  echo "$1" > "$root/bucket.name"
}

install_gcsfuse() {
  local key=/usr/share/keyrings/cloud.google.asc site=https://packages.cloud.google.com/apt
  curl --silent --fail "$site/doc/apt-key.gpg" | sudo tee "$key" >/dev/null \
    && echo "deb [signed-by=$key] $site gcsfuse-$(lsb_release --codename --short) main" \
      | sudo tee /etc/apt/sources.list.d/gcsfuse.list >/dev/null \
    && sudo apt-get update -qq -o DPkg::Lock::Timeout=600 \
    && sudo apt-get install -y -qq -o DPkg::Lock::Timeout=600 gcsfuse
}

install() {  # install EXTRAS [BUCKET]
  running && fail "a command is running here ($(cat "$run/command")); stop it before setup"
  [ -f "$root/new/pyproject.toml" ] || fail "$root/new holds no checkout"
  local interpreter
  interpreter=$(find_python) || fail 'could not get Python 3.11 or 3.12; is there a way to the internet?'
  rm -rf "$root/checkout"
  mv "$root/new" "$root/checkout" || fail 'could not replace the checkout'
  ( export PYTHON=$interpreter FLEXLAM_VENV=$root/venv
    # shellcheck source=env.sh
    . "$root/checkout/launch/env.sh" && ensure_environment "$1" ) 2>&1 || exit 1
  if [ -n "${2:-}" ]; then
    change_bucket "$2"
  fi
  if [ -f "$root/bucket.name" ]; then
    mount_bucket
    check_bucket
    ln -sfn "$root/bucket" "$root/checkout/bucket"
  fi
  printf 'ready: revision %s, %s\n' "$(revision)" "$("$root/venv/bin/python" --version)"
}

start() {  # start [NAME=VALUE...] -- COMMAND...
  [ -x "$root/venv/bin/python" ] || fail 'this worker is not set up'
  mount_bucket      # Again if the machine restarted.
  exec 9>"$run/lock"
  flock --timeout 2 9 || fail "already running (pid $(cat "$run/pid")): $(cat "$run/command")"
  local log
  log=$root/logs/$(date +%Y%m%d-%H%M%S).log
  ln -sfn "$log" "$root/logs/latest.log"
  rm -f "$run/exit" "$run/pid" "$run/stopped"
  setsid bash "${BASH_SOURCE[0]}" _supervise "$@" </dev/null >>"$log" 2>&1 &
  exec 9>&-
  # A command that cannot even begin should be heard of now and not in the log.
  local tries=5 code
  while [ ! -f "$run/exit" ] && [ $((tries -= 1)) -ge 0 ]; do sleep 0.2; done
  code=$(cat "$run/exit" 2>/dev/null || echo 0)
  # 75 is no failure: it saved itself, however early, and may be started again.
  if [ "$code" != 0 ] && [ "$code" != 75 ]; then tail -n 5 "$log"; fail "exited with $code at once; log $log"; fi
  echo "started; log $log"
}

# Runs the command to its end and leaves its exit code in a file.
_supervise() {
  local variable child code
  cd "$root/checkout" || exit 1
  export PATH=$root/venv/bin:$PATH PYTHONUNBUFFERED=1 FLEXLAM_REVISION
  FLEXLAM_REVISION=$(revision)
  # Where a restart finds its compiled programs; in the bucket, on a slice made anew as well.
  export JAX_COMPILATION_CACHE_DIR=$root/compilation_cache
  if [ -f "$root/bucket.name" ]; then JAX_COMPILATION_CACHE_DIR=$root/bucket/compilation_cache; fi
  while [ "$1" != -- ]; do variable=$1; export "${variable?}"; shift; done
  shift
  if [ -n "${COORDINATOR_ADDRESS:-}" ] && [ -z "${PROCESS_ID:-}" ]; then
    export PROCESS_ID; PROCESS_ID=$(worker_number)
  fi
  printf '%q ' "$@" > "$run/command"
  echo "== worker $(worker_number) of revision $FLEXLAM_REVISION at $(date -u +%FT%TZ):" \
    "$(cat "$run/command")"
  echo $$ > "$run/supervisor"
  # A machine that shuts down sends SIGTERM to everybody; this shell must outlive the command.
  trap : TERM
  "$@" &
  child=$!
  echo "$child" > "$run/pid"
  # A signal ends a wait early and with its own code. The command may be gone by the time it is
  # looked for, so its code is what a last wait, which nothing can cut short, remembers.
  while wait "$child"; kill -0 "$child" 2>/dev/null; do :; done
  wait "$child"; code=$?
  echo "== exit code $code at $(date -u +%FT%TZ)"
  echo "$code" > "$run/exit.new" && mv "$run/exit.new" "$run/exit"
}

state() {
  local ended=exited
  if [ -f "$run/stopped" ]; then ended=stopped; fi
  if running; then
    echo "running $(cat "$run/pid" 2>/dev/null || echo -)"
  elif [ -f "$run/exit" ]; then
    echo "$ended $(cat "$run/exit")"
  elif [ -f "$run/pid" ]; then
    echo "$ended 137"    # Gone without a word: killed, or the machine restarted.
  else
    echo 'idle -'
  fi
}

# A line that is known among what ssh and a login shell may print.
status() {
  echo "flexlam-state $(state) $(revision) $(cat "$root/bucket.name" 2>/dev/null || echo -)"
}

logs() {  # logs LINES [follow]
  [ -e "$root/logs/latest.log" ] || fail 'nothing was started here yet'
  local flags=(--lines="$1")
  [ "${2:-}" = follow ] && flags+=(--follow)
  tail "${flags[@]}" "$root/logs/latest.log" | sed --unbuffered "s/^/[worker $(worker_number)] /"
}

# SIGTERM to the command alone: its helper processes are needed to finish the step and save. Only a
# shell, which would keep the signal to itself, has it passed to its children.
terminate() {  # terminate PID
  local children=''
  case $(cat "/proc/$1/comm" 2>/dev/null) in
    sh|bash|dash) children=$(cat "/proc/$1/task/$1/children") ;;
  esac
  # shellcheck disable=SC2086   # Words on purpose.
  kill -TERM $children "$1" 2>/dev/null
}

stop() {  # stop SECONDS [for-good]
  if ! running; then echo "not running; $(state)"; return 0; fi
  if [ "${2:-}" = for-good ]; then touch "$run/stopped"; fi
  terminate "$(cat "$run/pid")"
  local deadline=$((SECONDS + $1))
  while running && [ "$SECONDS" -lt "$deadline" ]; do sleep 0.2; done
  if running; then
    kill -KILL -- "-$(cat "$run/supervisor")" 2>/dev/null
    echo 137 > "$run/exit"
    fail "killed: it had not stopped $1 s after SIGTERM; steps since the last checkpoint are lost"
  fi
  local code
  code=$(cat "$run/exit" 2>/dev/null || echo 137)
  case $code in
    0|75) echo "stopped with exit code $code" ;;
    *) fail "stopped with exit code $code, probably without saving; see its log" ;;
  esac
}

case ${1:-} in
  install|start|status|logs|stop|_supervise) "$@" ;;
  *) fail "unknown action '${1:-}'" ;;
esac
