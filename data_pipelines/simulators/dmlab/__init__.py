"""DeepMind Lab, played: the levels of DMLab-30. The engine is an optional package."""
