"""Thinc models: one file for each of embed, encode and attend, and a folder of heads."""
