"""The heads: models of components, on top of token vectors. One file for each task."""
