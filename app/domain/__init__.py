"""What a run, mix, checkpoint and answer is; free of FastAPI, Jinja, Celery and torch."""
