"""Settings whose values are in files, as container engines and systemd hand secrets over.

`SECRET_KEY_FILE=/run/secrets/secret_key` sets SECRET_KEY to what the file has.
"""

import os

from django.core.exceptions import ImproperlyConfigured
from environ.fileaware_mapping import FileAwareMapping


class UnusableFile(ImproperlyConfigured):
    """The file that `NAME_FILE` names gives no value. The message says which file, and why."""


class SecretFiles(FileAwareMapping):
    """The variables of `env`, in which `NAME_FILE` may name the file with the value of NAME.

    A file is read when its setting is: other programs have variables such as SSL_CERT_FILE, too. White space
    around the value is dropped, because editors and `echo` end files with a line break. `$` is `\\$` in the
    values of this mapping.
    """

    def __getitem__(self, name: str) -> str:
        variable = f"{name}_FILE"
        if variable not in self.env:
            return str(self.env[name])
        if name in self.env:
            raise UnusableFile(f"Set {name} or {variable}, not both.")
        return _content(variable, self.env[variable].replace(r"\$", "$")).replace("$", r"\$")


def _content(variable: str, file: str) -> str:
    try:
        with open(file, encoding="utf-8") as opened:
            value = opened.read().strip()
    except FileNotFoundError:
        raise UnusableFile(f"{variable}: there is no file {file}.") from None
    except UnicodeDecodeError:
        raise UnusableFile(f"{variable}: {file} is not a text in UTF-8.") from None
    except OSError as error:
        raise UnusableFile(f"{variable}: user {os.getuid()} cannot read {file}: {error.strerror}.") from None
    if not value:
        raise UnusableFile(f"{variable}: {file} is empty.")
    return value
