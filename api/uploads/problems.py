"""The codes of the problems that uploads have, for the OpenAPI schema.

A scanner may have codes of its own.
"""

#: The file is not accepted: 422.
FILE_REFUSED = [
    "size_mismatch",
    "content_type_not_allowed",
    "content_type_mismatch",
    "checksum_mismatch",
    "image_invalid",
    "image_too_large",
    "infected",
    "file_rejected",
]
#: What the `problem` of an upload may be.
UPLOAD_FAILED = [*FILE_REFUSED, "quota_exceeded", "gallery_full", "resource_gone"]
#: Why the file of a ticket is not recorded now.
NOT_COMPLETED = [
    *UPLOAD_FAILED,
    "object_missing",
    "ticket_expired",
    "ticket_cancelled",
    "verification_in_progress",
    "held",
    "storage_unavailable",
    "scanner_unavailable",
    "not_ready",
]
#: Why one of several tickets is not completed.
COMPLETION_FAILED = [*NOT_COMPLETED, "not_found", "permission_denied", "internal"]
#: Why there is nothing to send with a ticket.
NOTHING_TO_SEND = [
    *UPLOAD_FAILED,
    "object_arrived",
    "ticket_expired",
    "ticket_cancelled",
    "ticket_completed",
    "verification_in_progress",
    "held",
    "storage_unavailable",
]
