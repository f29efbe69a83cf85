"""Reports as self-contained pages. Nothing here knows a model."""
