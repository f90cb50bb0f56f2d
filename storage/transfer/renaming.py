"""Turn a file name into a legal key: the same name, unless Supabase would reject it."""

from storage import keys


def key_for_name(name: str, max_length: int | None = None) -> str:
    """Return the key that a store has for this name, at most as long as the column.

    So the file is also found by programs that go on asking for it by this name. Raises InvalidKey if no
    key is short enough, and for path traversal.
    """
    key = keys.from_name(name, max_length or keys.MAX_KEY)
    if max_length and len(key) > max_length:
        raise keys.InvalidKey("Invalid key")
    return keys.check(key)


def numbered_key(key: str, number: int, max_length: int | None = None) -> str:
    """Return the key with a number before its extension: `a.pdf`, `a-2.pdf`. Raises InvalidKey."""
    folder, slash, file = key.rpartition("/")
    room = min(keys.MAX_SEGMENT, (max_length or keys.MAX_KEY) - len(folder + slash))
    stem, dot, extension = file.rpartition(".")
    if not dot or len(extension) > keys.MAX_SEGMENT // 2:
        stem, dot, extension = file, "", ""
    ending = f"-{number}{dot}{extension}"
    if len(ending) > room:
        raise keys.InvalidKey("Invalid key")
    stem = stem[: room - len(ending)]
    return keys.check(f"{folder}{slash}{stem}{ending}" if stem else f"{folder}{slash}{ending[1:]}")
