"""The Django project: settings, root URLs, middleware, languages, logs, metrics."""

#: By the rules of docs/upgrading.md. pyproject.toml and the newest heading of CHANGELOG.md have the same.
__version__ = "0.1.0"
