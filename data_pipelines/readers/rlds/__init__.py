"""Episodes in the RLDS schema, as Open X-Embodiment publishes them."""
