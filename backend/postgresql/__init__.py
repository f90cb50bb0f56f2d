"""Django's backend for PostgreSQL, whose pool gives no connection that the server has closed."""
