"""Evaluation of latent action models: reconstruction, probes, code statistics, and the report."""
