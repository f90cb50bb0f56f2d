"""Reports each object that clients create in the incoming bucket to STORAGE_WEBHOOK_URL.

One thread of the process sends the messages, so that no upload is slower or fails because of them. As from
Supabase, each message is sent at most once: what cannot be sent is logged and dropped.
"""

import threading
from queue import Full, Queue
from typing import TYPE_CHECKING

import structlog
from django.conf import settings

from storage import webhooks
from storage.base import incoming_store
from storage.webhooks import Event, EventType

if TYPE_CHECKING:
    import httpx

QUEUE_SIZE = 200  # messages that wait
TIMEOUT = 30  # seconds: the receiver verifies the file before it answers

logger = structlog.get_logger("storage.local.server")

_queue: Queue[Event] = Queue(maxsize=QUEUE_SIZE)
_lock = threading.Lock()
_thread: threading.Thread | None = None


def report(type: EventType, bucket: str, key: str) -> None:
    """Have the message sent, if STORAGE_WEBHOOK_SECRET is set and this is the incoming bucket."""
    if not settings.STORAGE_WEBHOOK_SECRET or bucket != incoming_store().bucket:
        return
    try:
        _queue.put_nowait(webhooks.event(type, bucket, key))
    except Full:
        logger.warning("webhook_dropped", key=key)
    _start_thread()


def _start_thread() -> None:
    """Start the thread on first use: one that was started before a fork does not run in the child."""
    global _thread
    with _lock:
        if _thread is None or not _thread.is_alive():
            _thread = threading.Thread(target=_send_all, name="storage-webhook", daemon=True)
            _thread.start()


def _send_all() -> None:
    import httpx  # noqa: PLC0415  (slow to load, and most processes send no message)

    # Without proxies and credentials of the environment.
    with httpx.Client(timeout=TIMEOUT, trust_env=False) as client:
        while True:
            _send(client, _queue.get())


def _send(client: "httpx.Client", event: Event) -> None:
    key = event["record"]["name"]
    try:
        body, headers = webhooks.signed(event, settings.STORAGE_WEBHOOK_SECRET)
        response = client.post(settings.STORAGE_WEBHOOK_URL, content=body, headers=headers)
    except Exception as error:  # the thread must go on; the message of the error may have the URL
        logger.warning("webhook_not_sent", key=key, error=type(error).__name__)
        return
    if not response.is_success:
        logger.warning("webhook_not_accepted", key=key, status=response.status_code)
