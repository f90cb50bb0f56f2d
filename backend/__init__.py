"""The Django project: settings, root URLs, middleware, languages, logs, metrics."""

import sys
from typing import Any

# structlog loads rich where it is installed, to write tracebacks in colours. Nothing here is written so, and
# every process would start 40 ms later.
modules: dict[str, Any] = sys.modules
if "structlog" not in modules and "rich" not in modules:
    modules["rich"] = None  # `import rich` raises ImportError
    import structlog  # noqa: F401

    del modules["rich"]

#: By the rules of docs/upgrading.md. pyproject.toml and the newest heading of CHANGELOG.md have the same.
__version__ = "0.1.0"
