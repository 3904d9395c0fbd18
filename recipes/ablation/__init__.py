"""A controlled study of StableReinforce's parts on the embedded photos, with the tiny model."""
