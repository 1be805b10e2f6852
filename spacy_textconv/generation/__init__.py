"""From scores to sequences of symbols."""
