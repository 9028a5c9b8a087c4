"""Temper's working half: Celery tasks, the supervisor of trainers, and the engine they start."""
