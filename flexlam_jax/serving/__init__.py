"""Models as files that a program can run which has jax, but not this package."""
