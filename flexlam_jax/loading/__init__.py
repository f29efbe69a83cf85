"""Trained models as objects, for people who never read the training code."""
