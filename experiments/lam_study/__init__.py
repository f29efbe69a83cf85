"""What makes a latent action model good: a preset beside changes of it, over training seeds."""
