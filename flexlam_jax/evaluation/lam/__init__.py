"""What is measured of latent action models, and how it is told."""
