# shellcheck shell=bash disable=SC2154   # Sourced by tpu_pod.sh, which sets what is used here.
# All workers of a slice at once: running something on them, and bringing them this checkout.

PACK_LIMIT=204800    # kB of code

# everywhere REMOTE: runs the shell text on every worker. What worker i and the ssh to it print is
# then in $out/i.log, and code[i] its exit code, "" if it was not reached. 0 if all returned 0.
#
# gcloud 528 writes the files of --output-directory=X into a folder "None", whatever X is. Others
# write them into X. So X is "None" here, and gcloud is started beside it.
everywhere() {
  local i last bad=0
  out=$scratch/None
  rm -rf "$out" && mkdir "$out"
  if [ -n "$dry_run" ]; then echo '# in a folder that has an empty folder None in it:' >&3; fi
  (cd "$scratch" && tpus tpu-vm ssh "$name" --worker=all --output-directory=None \
    ${ssh_flags[@]+"${ssh_flags[@]}"} --command="$1; echo flexlam-exit=\$?") \
    >"$scratch/ssh" 2>&1 || true
  if [ -n "$dry_run" ]; then return 0; fi
  for ((i = 0; i < workers; i++)); do
    last=$(tail -n 1 "$out/$i.log" 2>/dev/null || true)
    case $last in flexlam-exit=*) code[i]=${last#*=} ;; *) code[i]='' ;; esac
    [ "${code[i]}" = 0 ] || bad=1
  done
  return $bad
}

# report: what each worker printed, under its number; what kept gcloud from reaching one.
report() {
  local i
  for ((i = 0; i < workers; i++)); do
    if [ -n "${code[i]:-}" ]; then
      sed -e '/^flexlam-exit=/d' -e '/^Warning: Permanently added /d' -e "s/^/[worker $i] /" "$out/$i.log"
    else
      echo "[worker $i] not reached: $(why_unreached "$i")"
    fi
  done
}

# why_unreached I: the last thing that ssh to that worker said, or else gcloud.
why_unreached() { cat "$scratch/ssh" "$out/$1.log" 2>/dev/null | grep . | tail -n 1 || true; }

# The numbers of the workers on which `everywhere` did not get a 0.
failed_workers() {
  local i result=''
  for ((i = 0; i < workers; i++)); do [ "${code[i]}" = 0 ] || result="$result $i"; done
  printf '%s' "${result# }"
}

on_worker() { quote bash flexlam/checkout/launch/worker.sh "$@"; }

# What is copied: the files of the checkout as they are now, without those that git ignores.
list_files() {
  local file
  if git rev-parse --git-dir >/dev/null 2>&1; then
    git ls-files -z --cached --others --exclude-standard
  else
    find . -type f ! -path '*/.git/*' ! -path './.venv*' ! -path '*/__pycache__/*' -print0
  fi | while IFS= read -r -d '' file; do
    if [ -e "$file" ] || [ -L "$file" ]; then printf '%s\0' "$file"; fi    # Not: deleted ones.
  done
}

# pack: $scratch/flexlam.tar.gz, and `revision`, which differs when any file does.
pack() {
  if [ -n "$dry_run" ]; then
    echo "# packs $repo, without what git ignores, into $scratch/flexlam.tar.gz" >&3
    return
  fi
  local list=$scratch/files kilobytes changes
  (cd "$repo" && list_files) > "$list"
  kilobytes=$(cd "$repo" && xargs -0 du -k < "$list" | awk '{sum += $1} END {print sum + 0}')
  if [ "$kilobytes" -gt "$PACK_LIMIT" ]; then
    (cd "$repo" && xargs -0 du -k < "$list" | sort -rn | head -n 3) >&2
    die "the checkout would be copied with $((kilobytes / 1024)) MB, the largest files are above" \
      '(in kB). Data and runs belong in a bucket, or into .gitignore.'
  fi
  # A link to a folder or to nowhere has no sum, but a name.
  changes=$(cd "$repo" && { tr '\0' '\n' < "$list"; xargs -0 cksum < "$list" 2>/dev/null || true; } \
    | LC_ALL=C sort | cksum | tr ' ' -)
  if revision=$(git -C "$repo" rev-parse HEAD 2>/dev/null); then
    if [ -n "$(git -C "$repo" status --porcelain)" ]; then revision=$revision+changes-$changes; fi
  else
    revision=nogit-$changes
  fi
  export COPYFILE_DISABLE=1     # macOS would add files of its own.
  mkdir "$scratch/tree"
  (cd "$repo" && tar -cf - --null -T "$list") | tar -xf - -C "$scratch/tree"
  printf '%s\n' "$revision" > "$scratch/tree/.revision"
  tar -czf "$scratch/flexlam.tar.gz" -C "$scratch/tree" .
}

setup() {
  need_ready
  say 'copying this checkout to all workers'
  tpus tpu-vm scp "$scratch/flexlam.tar.gz" "$name:flexlam.tar.gz" --worker=all \
    ${ssh_flags[@]+"${ssh_flags[@]}"} >"$scratch/scp" 2>&1 \
    || die "copying failed: $(grep . "$scratch/scp" | tail -n 5 || true)"
  say 'installing (minutes the first time)'
  everywhere "rm -rf flexlam/new && mkdir -p flexlam/new && tar -xzf flexlam.tar.gz -C flexlam/new \
&& $(quote bash flexlam/new/launch/worker.sh install "$extras" ${bucket:+"$bucket"})" \
    || { report >&2; die "setup failed on worker(s) $(failed_workers)"; }
  report
}

# stop_all [for-good]
stop_all() { everywhere "$(on_worker stop "$grace" "$@")"; }

stop() {
  need_ready
  local done_well=yes
  stop_all for-good || done_well=''
  report
  [ -n "$done_well" ] || die "worker(s) $(failed_workers) did not stop well"
}

logs() {
  need_ready
  local remote
  remote=$(on_worker logs "$lines" ${follow:+"$follow"})
  tpus tpu-vm ssh "$name" --worker="$worker" ${ssh_flags[@]+"${ssh_flags[@]}"} --command="$remote"
}

