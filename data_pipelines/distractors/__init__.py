"""What the agent does not control, drawn onto recorded frames, with its ground truth."""
