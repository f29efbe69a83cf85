"""gke_jobset.sh: the manifest that it prints, read back."""

import subprocess

import pytest
import yaml

from flexlam_jax.parallel.distributed import EXIT_LOST
from flexlam_jax.parallel.signals import EXIT_INTERRUPTED
from flexlam_jax.parallel.watchdog import EXIT_HUNG
from flexlam_jax.planning import topology

ASKED = ("--name=run1", "--topology=v5e-256", "--image=here/flexlam:1", "--bucket=gs://videos")


@pytest.fixture
def render(checkout):
    def call(*arguments, words=("python", "-m", "experiments.pretrain_lam")):
        return subprocess.run(
            ["bash", str(checkout / "launch/gke_jobset.sh"), *arguments, "--", *words],
            capture_output=True,
            text=True,
            timeout=60,
        )

    return call


def manifest(done):
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)


def job_of(jobset):
    [job] = jobset["spec"]["replicatedJobs"]
    return job["replicas"], job["template"]["spec"]


def pod_of(jobset):
    return job_of(jobset)[1]["template"]


@pytest.mark.parametrize("missing", ["name", "topology", "image", "bucket"])
def test_a_missing_flag_is_named(render, missing):
    done = render(*(flag for flag in ASKED if not flag.startswith(f"--{missing}=")))
    assert done.returncode == 2 and f"--{missing} is missing" in done.stderr and not done.stdout


@pytest.mark.parametrize(
    "flag, message",
    [
        ("--topology=v5p-7", 'no TPU slice "v5p-7"'),
        ("--name=Run_1", "--name=Run_1: up to 40 small letters"),
        ("--bucket=videos/runs", "only the bucket's name"),
        ("--slices=0", "--slices=0 must be at least 1"),
        ("--topology=v5e-8 --slices=2", "a v5e-8 is one machine"),
    ],
)
def test_bad_values_are_refused_before_anything_is_printed(render, flag, message):
    done = render(*ASKED, *flag.split())
    assert done.returncode != 0 and message in done.stderr and not done.stdout


@pytest.mark.parametrize(
    "name, accelerator, layout, hosts, chips",
    [
        ("v4-32", "tpu-v4-podslice", "2x2x4", 4, 4),
        ("v5e-256", "tpu-v5-lite-podslice", "16x16", 64, 4),
        ("v5e-1", "tpu-v5-lite-podslice", "1x1", 1, 1),  # A machine with 48 GB.
        ("v5e-8", "tpu-v5-lite-podslice", "2x4", 1, 8),
        ("v5p-64", "tpu-v5p-slice", "2x4x4", 8, 4),
        ("v6e-16", "tpu-v6e-slice", "4x4", 4, 4),
    ],
)
def test_a_slice_selects_its_nodes(render, name, accelerator, layout, hosts, chips):
    _, job = job_of(manifest(render(*ASKED, f"--topology={name}")))
    pod = job["template"]["spec"]
    assert pod["nodeSelector"] == {
        "cloud.google.com/gke-tpu-accelerator": accelerator,
        "cloud.google.com/gke-tpu-topology": layout,
    }
    assert job["parallelism"] == job["completions"] == hosts
    resources = pod["containers"][0]["resources"]
    assert resources["limits"] == {"google.com/tpu": chips}
    assert resources["requests"] == {"memory": f"{25 * chips}Gi"}


@pytest.mark.parametrize(
    "name", [n for names in topology.known_topologies().values() for n in names]
)
def test_the_table_agrees_with_the_plan(render, name):
    _, job = job_of(manifest(render(*ASKED, f"--topology={name}")))
    pod = job["template"]["spec"]
    planned = topology.parse_topology(name)
    assert (
        job["completions"] * pod["containers"][0]["resources"]["limits"]["google.com/tpu"]
        == planned.chips
    )
    assert pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"] == "x".join(
        map(str, planned.layout)
    )


def test_words_become_the_command_as_they_were_typed(render):
    words = (
        "python",
        "a b",
        "it's",
        'say "hi"',
        "back\\slash",
        "two\nlines",
        "tab\t",
        "",
        "{x: [1]}",
        "$HOME",
        "# no comment",
    )
    [container] = pod_of(manifest(render(*ASKED, words=words)))["spec"]["containers"]
    assert tuple(container["command"]) == words


def test_kubernetes_does_not_expand_references_in_the_command(render):
    # It replaces $(NAME), and reads $$( as a plain $(.
    [container] = pod_of(manifest(render(*ASKED, words=("x", "$(HOSTNAME)"))))["spec"]["containers"]
    assert container["command"] == ["x", "$$(HOSTNAME)"]


def test_only_interruptions_are_restarted(render):
    jobset = manifest(render(*ASKED, "--retries=7"))
    assert jobset["spec"]["failurePolicy"]["maxRestarts"] == 7
    assert jobset["spec"]["failurePolicy"]["rules"] == [
        {
            "name": "errorOfTheProgram",
            "action": "FailJobSet",
            "onJobFailureReasons": ["PodFailurePolicy"],
        }
    ]
    _, job = job_of(jobset)
    assert job["backoffLimit"] == 0 and job["template"]["spec"]["restartPolicy"] == "Never"
    [rule] = job["podFailurePolicy"]["rules"]
    codes = rule["onExitCodes"]
    assert (rule["action"], codes["operator"]) == ("FailJob", "NotIn")
    assert {EXIT_INTERRUPTED, EXIT_HUNG, EXIT_LOST, 134, 137} <= set(codes["values"])
    assert not {0, 1, 2} & set(codes["values"])
    assert codes["values"] == sorted(set(codes["values"]))  # Kubernetes demands it.
    assert codes["containerName"] == job["template"]["spec"]["containers"][0]["name"]


def test_the_bucket_is_mounted_and_the_workers_find_each_other(render):
    jobset = manifest(render(*ASKED, "--service-account=writer", "--namespace=lab", "--grace=99"))
    pod = pod_of(jobset)
    assert pod["metadata"]["annotations"] == {"gke-gcsfuse/volumes": "true"}
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    assert volumes["bucket"]["csi"]["driver"] == "gcsfuse.csi.storage.gke.io"
    assert volumes["bucket"]["csi"]["volumeAttributes"]["bucketName"] == "videos"
    options = volumes["bucket"]["csi"]["volumeAttributes"]["mountOptions"]
    assert "metadata-cache:ttl-secs:0" in options.split(",")
    mounts = {m["name"]: m["mountPath"] for m in pod["spec"]["containers"][0]["volumeMounts"]}
    assert mounts["bucket"] == "/bucket" and set(mounts) == set(volumes)
    assert pod["spec"]["serviceAccountName"] == "writer"
    assert pod["spec"]["terminationGracePeriodSeconds"] == 99
    assert jobset["metadata"]["namespace"] == "lab"
    assert jobset["spec"]["network"] == {"enableDNSHostnames": True, "subdomain": "run1"}


def test_slices_spot_reservation_port_and_environment(render):
    jobset = manifest(
        render(
            *ASKED,
            "--slices=3",
            "--spot",
            "--reservation=ours",
            "--coordinator-port=8476",
            '--env=A=x "y"',
            "--env=B=",
        )
    )
    assert job_of(jobset)[0] == 3
    spec = pod_of(jobset)["spec"]
    assert spec["nodeSelector"]["cloud.google.com/gke-spot"] == "true"
    assert spec["nodeSelector"]["cloud.google.com/reservation-name"] == "ours"
    environment = {e["name"]: e["value"] for e in spec["containers"][0]["env"]}
    assert environment == {
        "JAX_COORDINATOR_PORT": "8476",
        "PYTHONUNBUFFERED": "1",
        "JAX_COMPILATION_CACHE_DIR": "/bucket/compilation_cache",
        "A": 'x "y"',
        "B": "",
    }
    assert 8476 in [port["containerPort"] for port in spec["containers"][0]["ports"]]
