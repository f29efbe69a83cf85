"""DeepMind Lab data in the layouts in which it is published."""
