#!/usr/bin/env bash
# Prints a JobSet for Google Kubernetes Engine that trains on one or more TPU slices.
#
#   bash launch/gke_jobset.sh --name=run1 --topology=v5e-256 --bucket=my-bucket \
#        --image=REGION-docker.pkg.dev/P/R/flexlam [options] -- python -m experiments.pretrain_lam --config=... \
#        --workdir=/bucket/runs/run1 | kubectl apply -f -
#
# --slices=1           slices of that topology, joined by the data-centre network
# --retries=100        restarts after an interruption; an error of the program is not retried
# --bucket=NAME        mounted at /bucket on every worker (Cloud Storage FUSE); it must have a
#                      hierarchical namespace, or checkpoints cannot be renamed when complete
# --service-account=   Kubernetes service account that may read and write the bucket
# --namespace=default, --grace=300 seconds for the last checkpoint
# --memory=            per worker; 25Gi per chip, which every machine with TPUs has
# --spot | --reservation=NAME      which nodes to take
# --coordinator-port=PORT          instead of JAX's 8482
# --env=NAME=VALUE                 again for each
#
# The cluster needs the JobSet controller and the Cloud Storage FUSE driver; docs/pods.md says how.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/pod_common.sh"

name='' topology='' image='' bucket='' slices=1 retries=100 service_account=default
namespace=default grace=300 memory='' reservation='' spot='' coordinator_port=8482
environment=() words=()
while [ $# -gt 0 ]; do
  case $1 in
    --slices=*|--coordinator-port=*) number "${1%%=*}" "${1#*=}" 1; take "$1" ;;
    --retries=*|--grace=*) number "${1%%=*}" "${1#*=}"; take "$1" ;;
    --name=?*|--topology=?*|--image=?*|--bucket=?*|--service-account=?*|--namespace=?*) take "$1" ;;
    --memory=?*|--reservation=?*) take "$1" ;;
    --spot) spot=yes ;;
    --env=[A-Za-z_]*=*) environment+=("${1#*=}") ;;
    --) shift; words=("$@"); break ;;
    -h|--help) show_help; exit 0 ;;
    *) usage "unknown argument '$1'" ;;
  esac
  shift
done
need name topology image bucket
[ ${#words[@]} -gt 0 ] || usage 'a command is missing: -- python -m experiments.pretrain_lam ...'
# Pods are called NAME-workers-SLICE-WORKER, and a host name has at most 63 characters.
check_resource_name "$name" 40
bucket=${bucket#gs://} bucket=${bucket%/}
case $bucket in */*) die "--bucket=$bucket: only the bucket's name; folders go into --workdir" ;; esac
find_slice "$topology"
[ "$slices" = 1 ] || [ "$hosts" -gt 1 ] \
  || usage "--slices=$slices: GKE joins slices of several machines, and a $topology is one machine"
memory=${memory:-$((25 * chips_per_host))Gi}

# A word as JSON, which YAML reads too. Kubernetes replaces $(NAME) in commands; $$( keeps it.
json() {
  local word=${1//\\/\\\\} reference='$'\(
  word=${word//\"/\\\"} word=${word//$'\n'/\\n} word=${word//$'\t'/\\t}
  word=${word//"$reference"/"\$$reference"}
  printf '"%s"' "$word"
}

command_list() {
  local word separator=''
  for word in "${words[@]}"; do printf '%s' "$separator"; json "$word"; separator=', '; done
}

node_selector() {
  local key value
  while read -r key value; do printf '                %s: "%s"\n' "$key" "$value"; done
}

cat <<YAML
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata:
  name: $name
  namespace: $namespace
  annotations:
    # One slice, one node pool: the workers of a slice are never spread over two.
    alpha.jobset.sigs.k8s.io/exclusive-topology: cloud.google.com/gke-nodepool
spec:
  # Makes the headless service through which the workers find each other.
  network:
    enableDNSHostnames: true
    subdomain: $name
  failurePolicy:
    maxRestarts: $retries
    rules:
    - name: errorOfTheProgram
      action: FailJobSet
      onJobFailureReasons: [PodFailurePolicy]
  replicatedJobs:
  - name: workers
    replicas: $slices
    template:
      spec:
        parallelism: $hosts
        completions: $hosts
        completionMode: Indexed
        # One lost worker ends the job, and the JobSet starts all of them again.
        backoffLimit: 0
        podFailurePolicy:
          rules:
          # 75: interrupted and saved; 76: hung; 77: another worker was lost; above 128: killed by
          # a signal, as when a node goes away. All else would come again with every restart.
          - action: FailJob
            onExitCodes:
              containerName: training
              operator: NotIn
              values: [75, 76, 77, 129, 130, 131, 132, 134, 135, 136, 137, 139, 143]
        template:
          metadata:
            annotations:
              gke-gcsfuse/volumes: "true"
          spec:
            restartPolicy: Never
            serviceAccountName: $service_account
            terminationGracePeriodSeconds: $grace
            nodeSelector:
$({ echo "cloud.google.com/gke-tpu-accelerator $gke_accelerator"
    echo "cloud.google.com/gke-tpu-topology $layout"
    if [ -n "$spot" ]; then echo 'cloud.google.com/gke-spot true'; fi
    if [ -n "$reservation" ]; then echo "cloud.google.com/reservation-name $reservation"; fi
  } | node_selector)
            containers:
            - name: training
              image: $image
              command: [$(command_list)]
              ports:
              - containerPort: 8471      # TPU runtime
              - containerPort: 8080      # between slices
              - containerPort: $coordinator_port
              env:
              - {name: JAX_COORDINATOR_PORT, value: "$coordinator_port"}
              - {name: PYTHONUNBUFFERED, value: "1"}
              # Where a restart finds its compiled programs. Of two entries the last one counts.
              - {name: JAX_COMPILATION_CACHE_DIR, value: /bucket/compilation_cache}
$(for pair in ${environment[@]+"${environment[@]}"}; do
    printf '              - {name: %s, value: %s}\n' "${pair%%=*}" "$(json "${pair#*=}")"; done)
              resources:
                requests: {memory: $memory}
                limits: {google.com/tpu: $chips_per_host}
              volumeMounts:
              - {name: bucket, mountPath: /bucket}
              - {name: shared-memory, mountPath: /dev/shm}
            volumes:
            - name: bucket
              csi:
                driver: gcsfuse.csi.storage.gke.io
                volumeAttributes:
                  bucketName: $bucket
                  # Workers must see at once what others wrote.
                  mountOptions: "implicit-dirs,metadata-cache:ttl-secs:0,metadata-cache:negative-ttl-secs:0"
            - name: shared-memory      # For the loader's worker processes.
              emptyDir: {medium: Memory}
YAML
