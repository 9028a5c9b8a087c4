"""Tests: each makes one thing, does one thing, and looks."""
