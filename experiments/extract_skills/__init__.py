"""Skills of whole datasets as sidecars; see command.py."""
