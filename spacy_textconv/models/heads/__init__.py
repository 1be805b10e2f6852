"""What stands on top of token vectors: one file for each task."""
