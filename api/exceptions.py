"""What rules raise when they say no. They know no status codes: `api.errors` has those."""


class Refused(Exception):
    """`code` names the reason, `detail` helps, `retry_after` is in seconds, if it is worth asking again."""

    def __init__(self, code: str, detail: str = "", retry_after: int | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.retry_after = retry_after
