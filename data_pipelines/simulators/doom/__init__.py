"""ViZDoom: first-person 3-D video with true actions, collected on the spot (extra `doom`)."""
