"""Thinc models: one file for each of embed, encode, attend and predict."""
