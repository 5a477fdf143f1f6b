"""Everything that knows the database, the object store or Celery."""
