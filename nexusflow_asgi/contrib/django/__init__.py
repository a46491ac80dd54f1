"""Django app: budgets in your own database. Add `nexusflow_asgi.contrib.django` to INSTALLED_APPS."""
