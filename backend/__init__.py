"""The Django project: settings, root URLs, middleware, languages, logs, metrics."""

import sys

# structlog loads rich if it is installed, for tracebacks with local variables. These may contain tokens, so
# `backend.logs` does not use them, and each process starts faster without rich.
if "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]  # then it cannot be imported
    try:
        import structlog  # noqa: F401
    except ModuleNotFoundError:
        pass  # `make` uses `backend.virtualenv` before it installs packages
    finally:
        del sys.modules["rich"]

#: By the rules of docs/upgrading.md. pyproject.toml and the newest heading of CHANGELOG.md have the same.
__version__ = "0.1.0"
