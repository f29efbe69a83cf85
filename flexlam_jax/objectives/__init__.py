"""What the training loop needs to know of a model, and losses as pure functions."""
