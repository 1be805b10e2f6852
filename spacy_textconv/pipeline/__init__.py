"""spaCy components of our own."""
