"""What the refund costs, measured beside a plain Celery chain: ``make bench``."""
