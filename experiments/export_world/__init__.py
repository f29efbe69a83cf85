"""A world in one file: a page that plays it offline in a browser."""
