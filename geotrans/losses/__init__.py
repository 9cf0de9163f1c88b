"""Losses, one registered factory each; `base` says what a loss sees and returns."""
