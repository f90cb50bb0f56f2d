"""Tells a database that does not work at the moment from a mistake of ours: both raise OperationalError."""

import sqlite3

from django.db import InterfaceError, InternalError, OperationalError

#: The classes of SQLSTATE (PostgreSQL, appendix A): no connection, too few resources, stopped by an operator,
#: and transactions that can be repeated.
OUTAGE_CLASSES = ("08", "53", "57", "40")
#: A lock that is not available in time; a server that has become a read-only standby.
OUTAGE_STATES = ("55P03", "25006")
SQLITE_OUTAGES = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_READONLY,
}


def is_outage(error: Exception) -> bool:
    """Return True if the same query may succeed later. `error` is one of Django's, or any other."""
    if not isinstance(error, OperationalError | InterfaceError | InternalError):
        return False
    cause = error.__cause__
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorcode", 0) & 0xFF in SQLITE_OUTAGES
    state = getattr(cause, "sqlstate", None)
    if state is None:  # no connection, or none of the pool in time
        return not isinstance(error, InternalError)
    return state.startswith(OUTAGE_CLASSES) or state in OUTAGE_STATES
