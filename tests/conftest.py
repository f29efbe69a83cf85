"""How every test compiles, in its own process and in those that it starts, and the order of files.

Compiling tiny programs is most of the suite's CPU time, and XLA's machine code is not what is
tested: so it optimises little. What a reader of the README runs is compiled as it is for a reader.
"""

import importlib.metadata
import os
import signal

import pytest

# Where the suite runs in the background of a script, the shell has Ctrl-C ignored, here and in all
# processes that tests start; what they test is that it is not.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Read when jax is imported, here and in child processes.
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "true"
# The other code generator compiles in a third of the time. Later versions do not have it, and XLA
# ends a process that sets a flag it does not know.
FLAG = "--xla_cpu_use_fusion_emitters=false"
if importlib.metadata.version("jaxlib").startswith("0.10."):
    flags = os.environ.get("XLA_FLAGS", "")
    if FLAG not in flags:  # A worker of pytest-xdist inherits it.
        os.environ["XLA_FLAGS"] = f"{flags} {FLAG}".strip()

# Files that take longest first: a worker that starts one of them last leaves the other idle.
LONGEST = (
    "tests/test_readme.py",
    "tests/experiments/test_pretrain_resume.py",
    "tests/distributed/test_stopped_processes.py",
    "tests/experiments/test_pretrain_meshes.py",
    "tests/experiments/test_evaluate_align_extract.py",
    "tests/distributed/test_fit_in_processes.py",
    "tests/launch/test_tpu_pod.py",
    "tests/experiments/test_benchmark.py",
)


@pytest.fixture(scope="session")
def compiled_programs(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def shared_compilations(compiled_programs):
    """What compiles the same program again, as every `fit` its step, reads it from a file instead."""
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    from flexlam_jax.training.compilation import use_compilation_cache

    before = jax.config.jax_compilation_cache_dir
    use_compilation_cache(str(compiled_programs))
    yield
    jax.config.update("jax_compilation_cache_dir", before)
    compilation_cache.reset_cache()


def pytest_collection_modifyitems(items):
    def rank(item):
        file = item.nodeid.partition("::")[0]
        return LONGEST.index(file) if file in LONGEST else len(LONGEST)

    items.sort(key=rank)  # Stable: tests of a file keep their order.
