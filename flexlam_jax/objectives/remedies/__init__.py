"""Remedies against what the agent does not control, one idea a file; see docs/exogenous/remedies.md."""
