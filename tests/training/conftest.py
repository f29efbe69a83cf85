"""What the tests of the training loop share."""

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from flexlam_jax.training.compilation import use_compilation_cache


@pytest.fixture(scope="session")
def compiled_programs(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def shared_compilations(compiled_programs):
    """Every `fit` compiles its own step; here all but the first read it from a file."""
    before = jax.config.jax_compilation_cache_dir
    use_compilation_cache(str(compiled_programs))
    yield
    jax.config.update("jax_compilation_cache_dir", before)
    compilation_cache.reset_cache()
