"""What a latent action model recovers of a plant whose operator's actions were not logged."""
