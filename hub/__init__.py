"""Folders and files to and from the Hub. Nothing here builds a model."""
