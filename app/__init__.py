"""Temper's web half: pages, REST API, and the domain they share with the worker."""
