"""LIBERO demonstrations in the three layouts they are published in."""
