"""The image encoders of policies, by the `kind` of `model.encoder`; film.py has their interface."""

from flexlam_jax.models.film_resnet import FilmResNet
from flexlam_jax.models.light_encoder import LightEncoder

IMAGE_ENCODERS = {"film_resnet": FilmResNet, "light": LightEncoder}
