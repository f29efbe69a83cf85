"""Measures of worlds, see docs/world/measures.md: pure over any `World` and arrays of clips."""
