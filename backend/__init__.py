"""The Django project: settings, root URLs, middleware, languages, logs; metrics would go here."""
