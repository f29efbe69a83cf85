"""The linear latent action model: generators, closed forms, training beside them, metrics."""
