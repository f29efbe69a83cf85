"""The linear latent action model, trained beside its closed forms: python -m experiments.linear_lam."""
