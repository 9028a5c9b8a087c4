"""Saved sets: where their rows are."""
