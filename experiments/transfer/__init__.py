"""Carries latent actions to another scene, camera or body and back; see command.py."""
