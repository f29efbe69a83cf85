"""Videos with the boundaries and skills that a model finds in them, as a page to look at."""
