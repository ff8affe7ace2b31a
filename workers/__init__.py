"""The training side: Celery worker, supervisor, trainer. May import `app`, never the reverse."""
