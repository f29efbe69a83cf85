"""Configs: kinds of values, settings as fields of dataclasses, and strict reading of sections."""
