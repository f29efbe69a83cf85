"""The objectives' tests are compilation-bound as those of the models are."""

from tests.models.conftest import quick_compilation

__all__ = ["quick_compilation"]
