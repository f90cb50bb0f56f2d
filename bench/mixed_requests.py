"""Clients that send mixed requests: reads, uploads, downloads, deletions, refusals, slow and broken ones.

Read by `bench/soak.py` and `bench/worker_memory.py`. Each client is a member of its own; some are staff, one
is an administrator of the admin. Every request says which statuses its response may have.
"""

import asyncio
import random
import re
import time
import uuid
from base64 import b64encode
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import httpx
from PIL import Image

from bench.requests import token

STAFF_EACH = 10  # one of so many clients is staff
TOKEN_REQUESTS = 50  # after so many requests, a client takes a new access token
MAX_DOCUMENTS = 8  # of a client; then it deletes one
KEPT_ALIVE = 1  # seconds, fewer than those of the server: else a request may meet a connection that closes
TIMEOUT = httpx.Timeout(60)
LARGE = 8 * 1024 * 1024  # bytes
TOO_LARGE = 60 * 1024 * 1024  # bytes: above STORAGE_FILE_SIZE_LIMIT
SLOW_SECONDS = 3
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
#: What comes after the kind of a path of the Storage protocol is a bucket with a key.
STORAGE_KEY = re.compile(
    r"(/storage/v1/object/(?:upload/sign|sign|public))/.*|(/upload/resumable(?:/sign)?)/.+"
)
NAMED = re.compile(r"(/(?:species|exhibitions|educational-services))/[a-z0-9-]+(?=/|$)")
ADMIN_PAGES = ("", "api/species/", "api/document/", "api/upload/", "api/exhibition/add/", "auth/user/")
WORDS = ("penguin", "heron", "cycad", "otter", "axolotl", "tapir", "ibis", "orchid")

Report = tuple[str, str, int]  # method, route, status (0: no response)


def pdf(size: int) -> bytes:
    return b"%PDF-1.7\n" + b"x" * (size - 9)


def jpeg(number: int, width: int, height: int) -> bytes:
    """Return a picture with some detail, another one for each number."""
    noise = Image.effect_noise((width // 8, height // 8), 40 + number).resize((width, height))
    file = BytesIO()
    Image.merge("RGB", [noise, noise.rotate(90 * number), noise.transpose(Image.Transpose.ROTATE_180)]).save(
        file, "JPEG", quality=85
    )
    return file.getvalue()


SMALL_PDF, LARGE_PDF = pdf(5_000), pdf(LARGE)
PICTURES = [jpeg(number, 900 + 100 * number, 700) for number in range(4)]
AVATARS = [jpeg(number, 300, 300) for number in range(4)]


@dataclass
class Found:
    """What the clients have seen: responses by method, route and status, and those that were not expected."""

    statuses: Counter[Report] = field(default_factory=Counter)
    unexpected: Counter[Report] = field(default_factory=Counter)
    examples: dict[Report, str] = field(default_factory=dict)
    reconnections: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, method: str, url: str, status: int, expected: Iterable[int], text: str = "") -> None:
        report = (method, route_of(url), status)
        self.statuses[report] += 1
        if status not in expected:
            self.unexpected[report] += 1
            self.examples.setdefault(report, text[:300])

    @property
    def total(self) -> int:
        return sum(self.statuses.values())

    @property
    def failures(self) -> int:
        """Return how many responses had a status from 500 on."""
        return sum(count for (_, _, status), count in self.statuses.items() if status >= 500)


def route_of(url: str) -> str:
    """Return the path with placeholders for ids, slugs and keys."""
    path = UUID.sub("{id}", urlsplit(url).path)
    path = STORAGE_KEY.sub(lambda match: f"{match[1] or match[2]}/…", path)
    return NAMED.sub(r"\1/{slug}", path)


class Client:
    """A member who uses the API at `address`.

    It stops at `until`, a time of `time.monotonic`, or after about so many `requests`. `pause`: the seconds
    between two of them, on average. `asks_for_schema`: sometimes.
    """

    def __init__(
        self,
        number: int,
        address: str,
        found: Found,
        *,
        until: float,
        pause: float,
        metrics_token: str,
        password: str,
        requests: float = float("inf"),
        asks_for_schema: bool = True,
    ) -> None:
        self.number, self.found, self.until, self.pause = number, found, until, pause
        self.metrics_token, self.password, self.left = metrics_token, password, requests
        self.address, self.asks_for_schema = address, asks_for_schema
        self.random = random.Random(number)
        self.id = str(uuid.UUID(int=self.random.getrandbits(128), version=4))
        self.is_staff = number % STAFF_EACH == 0
        self.documents: list[str] = []
        self.used = 0
        self.cookies: dict[str, str] = {}
        self.sign_in()
        self.http = httpx.AsyncClient(
            base_url=address,
            verify=False,
            timeout=TIMEOUT,
            limits=httpx.Limits(keepalive_expiry=KEPT_ALIVE),
        )

    async def do_each(self) -> None:
        """Do everything once."""
        async with self.http:
            for action, _ in self.actions():
                await action()

    # --- The loop -----------------------------------------------------------------------------------

    @property
    def goes_on(self) -> bool:
        return self.left > 0 and time.monotonic() < self.until

    async def run(self) -> None:
        """Do one thing after the other. What they do is random, but the same for each number of a client."""
        actions, weights = zip(*self.actions(), strict=True)
        async with self.http:
            while self.goes_on:
                [action] = self.random.choices(actions, weights)
                await action()

    def actions(self) -> list[tuple[Callable[[], Awaitable[Any]], int]]:
        own = [
            (self.read_catalogue, 20),
            (self.read_own, 20),
            (self.read_pages, 4),
            (self.upload_document, 12),
            (self.change_document, 5),
            (self.download, 8),
            (self.delete_document, 4),
            (self.be_refused, 12),
            (self.repeat_request, 3),
            (self.send_wrong_file, 4),
            (self.leave_ticket, 3),
            (self.break_off, 2),
            (self.send_slowly, 1),
            (self.send_large_file, 1),
            (self.resume_upload, 2),
            (self.complete_several, 2),
            (self.exceed_rate, 1),
            (self.change_avatar, 2),
            (self.be_erased, 1),
        ]
        staff = [(self.keep_catalogue, 10), (self.use_admin, 8)] if self.is_staff else []
        return [*own, *staff]

    def sign_in(self) -> None:
        """Take a new access token."""
        self.token = self.token_of(self.id)

    def token_of(self, member: str, **claims: Any) -> str:
        app_metadata = {"role": "staff"} if self.is_staff else {}
        usual = {
            "sub": member,
            "aud": "authenticated",
            "role": "authenticated",
            "email": f"member{self.number}@example.org",
            "is_anonymous": False,
            "app_metadata": app_metadata,
            "jti": uuid.uuid4().hex,
        }
        return token(**{**usual, **claims})

    async def send(
        self,
        method: str,
        url: str,
        *expected: int,
        signed_in: bool = True,
        headers: dict[str, str] | None = None,
        pause: bool = True,
        **options: Any,
    ) -> httpx.Response:
        """Send one request after a pause, and return its response: with status 0 if there was none."""
        if pause:
            await asyncio.sleep(self.random.uniform(0, 2 * self.pause))
        self.left -= 1
        self.used += 1
        if self.used % TOKEN_REQUESTS == 0:
            self.sign_in()
        sent = {"Authorization": f"Bearer {self.token}"} if signed_in else {}
        for attempt in (1, 2):
            try:
                response = await self.http.request(
                    method, url, headers={**sent, **(headers or {})}, **options
                )
                break
            except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
                # A server may close an idle connection just when it is used again: clients try again.
                self.found.reconnections[method, route_of(url)] += 1
                if attempt == 2:
                    return self.no_response(method, url, expected, error)
            except httpx.HTTPError as error:
                return self.no_response(method, url, expected, error)
        self.found.add(method, url, response.status_code, expected, response.text[:300])
        return response

    def no_response(self, method: str, url: str, expected: Iterable[int], error: Exception) -> httpx.Response:
        self.found.add(method, url, 0, expected, repr(error))
        return httpx.Response(0, json={}, request=httpx.Request(method, self.address))

    # --- Reading ------------------------------------------------------------------------------------

    async def read_catalogue(self) -> None:
        kind = self.random.choice(["species", "species", "exhibitions", "educational-services"])
        query = self.random.choice(
            [
                "",
                "?page_size=100",
                "?cursor=",
                f"?search={self.random.choice(WORDS)}",
                "?ordering=-created_at",
            ]
        )
        signed_in = self.random.random() < 0.5
        page = await self.send("GET", f"/api/v1/{kind}/{query}", 200, signed_in=signed_in)
        slugs = [row["slug"] for row in page.json().get("results", [])] if page.status_code == 200 else []
        if slugs and kind == "species":
            entry = f"/api/v1/species/{self.random.choice(slugs)}/"
            read = await self.send("GET", entry, 200, 404)
            if etag := read.headers.get("ETag"):
                await self.send("GET", entry, 200, 304, 404, headers={"If-None-Match": etag})
            await self.send("GET", f"{entry}pictures/", 200, 404, signed_in=False)

    async def read_own(self) -> None:
        path = self.random.choice(
            [
                "documents/?owner=me",
                "documents/?has_file=true&page_size=100",
                f"documents/?search={self.random.choice(WORDS)}",
                "documents/?cursor=&ordering=-created_at",
                "uploads/",
                "uploads/?state=pending",
                "profiles/me/",
                "upload-rules/",
            ]
        )
        await self.send("GET", f"/api/v1/{path}", 200)
        if self.documents:
            await self.send("GET", self.one(), 200)

    async def read_pages(self) -> None:
        pages = ["/", "/livez", "/readyz", "/api/docs/", "/metrics"]
        path = self.random.choice([*pages, "/api/schema/"] if self.asks_for_schema else pages)
        headers = {"Authorization": f"Bearer {self.metrics_token}"} if path == "/metrics" else {}
        await self.send("GET", path, 200, headers=headers, signed_in=False)
        preflight = {
            "Origin": "https://app.example.org",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        }
        await self.send("OPTIONS", "/api/v1/documents/", 200, signed_in=False, headers=preflight)
        await self.send("HEAD", "/api/v1/species/", 200, signed_in=False)

    # --- Files --------------------------------------------------------------------------------------

    def one(self) -> str:
        return f"/api/v1/documents/{self.random.choice(self.documents)}/"

    async def create(self, file: bytes, **announced: Any) -> dict[str, Any]:
        """Create a document with a ticket, and return the ticket. Without one, {} is returned."""
        if len(self.documents) >= MAX_DOCUMENTS:
            await self.delete_document()
        upload = {"filename": "plan.pdf", "content_type": "application/pdf", "size": len(file), **announced}
        title = f"Plan of the {self.random.choice(WORDS)} {self.used}"
        body = {"title": title, "upload": upload}
        created = await self.send("POST", "/api/v1/documents/", 201, 403, 429, json=body)
        if created.status_code != 201:
            return {}
        document = created.json()
        self.documents.append(document["id"])
        ticket: dict[str, Any] = document["ticket"]
        return ticket

    async def put(self, ticket: dict[str, Any], file: bytes, *expected: int) -> None:
        await self.send(
            "PUT", ticket["url"], *expected, signed_in=False, headers=ticket["headers"], content=file
        )

    async def complete(self, url: str, *expected: int) -> httpx.Response:
        """Complete the upload as a client does: it asks again while the server asks for that."""
        while True:
            response = await self.send("POST", url, *expected, 409, 429)
            in_progress = (
                response.status_code == 409 and response.json()["code"] == "verification_in_progress"
            )
            if not (in_progress and self.goes_on):
                return response
            await asyncio.sleep(float(response.headers["Retry-After"]))

    async def upload_document(self) -> None:
        if ticket := await self.create(SMALL_PDF):
            await self.put(ticket, SMALL_PDF, 200)
            await self.complete(ticket["complete_url"], 200)
            if self.random.random() < 0.3:  # its answer was lost
                await self.complete(ticket["complete_url"], 200)

    async def send_large_file(self) -> None:
        if ticket := await self.create(LARGE_PDF):
            await self.put(ticket, LARGE_PDF, 200)
            await self.complete(ticket["complete_url"], 200)

    async def send_wrong_file(self) -> None:
        """Send another file than the one that was announced, or one that is too large."""
        if not (ticket := await self.create(SMALL_PDF)):
            return
        match self.random.randrange(5):
            case 0:  # a text that is called a PDF
                await self.put(ticket, b"Not a PDF. " * 400, 200)
                await self.complete(ticket["complete_url"], 422)
            case 1:  # shorter than announced
                await self.put(ticket, SMALL_PDF[:2000], 200)
                await self.complete(ticket["complete_url"], 422)
            case 2:  # longer than announced
                await self.put(ticket, SMALL_PDF * 3, 200, 413)
                await self.complete(ticket["complete_url"], 422)
            case 3:  # longer than the store takes
                await self.raw(ticket, SMALL_PDF[:500], 400, length=TOO_LARGE)
            case 4:
                other = {**ticket, "headers": {**ticket["headers"], "content-type": "text/html"}}
                await self.put(other, SMALL_PDF, 200, 400, 415)
                await self.complete(ticket["complete_url"], 409, 422)

    async def leave_ticket(self) -> None:
        """Leave a ticket to the sweep, with or without its file, or cancel it."""
        if not (ticket := await self.create(SMALL_PDF)):
            return
        what = self.random.randrange(3)
        if what:
            await self.put(ticket, SMALL_PDF, 200)
        if what == 2:
            upload = f"/api/v1/uploads/{ticket['id']}/"
            await self.send("GET", f"{upload}ticket/", 200, 409)
            # The sweep may have completed it meanwhile.
            cancelled = await self.send("DELETE", upload, 204, 202, 409)
            await self.complete(ticket["complete_url"], *((200,) if cancelled.status_code == 409 else (404,)))
            if cancelled.status_code != 409:
                self.documents.pop()  # it goes with its ticket

    async def resume_upload(self) -> None:
        """Send a file in two parts by the TUS protocol, or only its first part."""
        if not (ticket := await self.create(SMALL_PDF)):
            return
        resumable = ticket["resumable"]
        metadata = ",".join(f"{name} {_base64(value)}" for name, value in resumable["metadata"].items())
        headers = {
            **resumable["headers"],
            "Tus-Resumable": "1.0.0",
            "Upload-Length": str(len(SMALL_PDF)),
            "Upload-Metadata": metadata,
        }
        made = await self.send("POST", resumable["endpoint"], 201, signed_in=False, headers=headers)
        location = made.headers.get("Location")
        for start in (0, 2500):
            if location is None or (start and self.random.random() < 0.3):
                return
            part = {
                **resumable["headers"],
                "Tus-Resumable": "1.0.0",
                "Upload-Offset": str(start),
                "Content-Type": "application/offset+octet-stream",
            }
            content = SMALL_PDF[start : start + 2500]
            await self.send("PATCH", location, 204, signed_in=False, headers=part, content=content)
        await self.complete(ticket["complete_url"], 200)

    async def complete_several(self) -> None:
        tickets = [ticket for _ in range(3) if (ticket := await self.create(SMALL_PDF))]
        for ticket in tickets[1:]:  # the first file never arrives
            await self.put(ticket, SMALL_PDF, 200)
        ids = [ticket["id"] for ticket in tickets]
        if ids:
            await self.send("POST", "/api/v1/uploads/complete/", 200, 429, json={"ids": ids})

    async def download(self) -> None:
        if not self.documents:
            return
        answer = await self.send("GET", f"{self.one()}download-url/", 200, 404)
        if answer.status_code == 200:
            url = answer.json()["url"]
            await self.send("GET", url, 200, signed_in=False)
            await self.send("GET", url, 200, 206, signed_in=False, headers={"Range": "bytes=100-999"})
            await self.send("HEAD", url, 200, signed_in=False)
        await self.send("POST", "/api/v1/documents/download-urls/", 200, json={"ids": self.documents})

    async def change_document(self) -> None:
        if not self.documents:
            return
        document = self.one()
        read = await self.send("GET", document, 200)
        etag = read.headers.get("ETag", "")
        body = {"title": f"Renamed {self.used}"}
        await self.send("PATCH", document, 200, 412, json=body, headers={"If-Match": etag})
        await self.send("PATCH", document, 412, json=body, headers={"If-Match": '"another"'})
        visibility = self.random.choice(["private", "authenticated"])
        await self.send("PATCH", document, 200, 429, json={"visibility": visibility})
        await self.send("POST", f"{document}revoke-urls/", 200, 204, 404, 429)

    async def delete_document(self) -> None:
        if not self.documents:
            return
        document = self.documents.pop(0)
        if self.random.random() < 0.3:
            await self.send("DELETE", f"/api/v1/documents/{document}/file/", 204, 202, 404, 409)
        await self.send("DELETE", f"/api/v1/documents/{document}/", 204, 202)
        await self.send("GET", f"/api/v1/documents/{document}/", 404)

    async def change_avatar(self) -> None:
        picture = self.random.choice(AVATARS)
        body = {"filename": "me.jpg", "content_type": "image/jpeg", "size": len(picture)}
        asked = await self.send("POST", "/api/v1/profiles/me/upload-url/", 201, 403, 429, json=body)
        if asked.status_code == 201:
            await self.put(asked.json(), picture, 200)
            await self.complete(asked.json()["complete_url"], 200)
            await self.send("GET", "/api/v1/profiles/me/download-url/", 200, 404)
        if self.random.random() < 0.3:
            await self.send("DELETE", "/api/v1/profiles/me/avatar/", 204, 202, 404)

    async def be_erased(self) -> None:
        """Another member comes, sends a file, and is erased."""
        guest = {"Authorization": f"Bearer {self.token_of(str(uuid.uuid4()))}"}
        announced = {"filename": "a.pdf", "content_type": "application/pdf", "size": len(SMALL_PDF)}
        body = {"title": "A guest's", "upload": announced}
        created = await self.send("POST", "/api/v1/documents/", 201, json=body, headers=guest)
        if created.status_code == 201:
            ticket = created.json()["ticket"]
            await self.put(ticket, SMALL_PDF, 200)
            await self.send("POST", ticket["complete_url"], 200, headers=guest)
        await self.send("DELETE", "/api/v1/profiles/me/", 200, 202, headers=guest)

    # --- Refusals -----------------------------------------------------------------------------------

    async def be_refused(self) -> None:
        documents, other = "/api/v1/documents/", f"/api/v1/documents/{uuid.uuid4()}/"
        upload = {"filename": "a.pdf", "content_type": "application/pdf", "size": 2 * 1024**3}
        match self.random.randrange(14):
            case 0:
                await self.send("GET", documents, 401, signed_in=False)
            case 1:
                forged = {"Authorization": f"Bearer {self.token[:-6]}forged"}
                await self.send("GET", documents, 401, headers=forged)
            case 2:
                expired = self.token_of(self.id, exp=1_500_000_000)
                await self.send("GET", documents, 401, headers={"Authorization": f"Bearer {expired}"})
            case 3:
                body = {"common_name": "Unknown", "scientific_name": "Incognita ignota"}
                await self.send(
                    "POST", "/api/v1/species/", *((201, 400) if self.is_staff else (403,)), json=body
                )
            case 4:
                await self.send("GET", other, 404)
                await self.send("GET", "/api/v1/nothing/", 404)
            case 5:
                if ticket := await self.create(SMALL_PDF):  # its file is never sent
                    await self.complete(ticket["complete_url"])
            case 6:
                content = b'{"title": "' + b"x" * 2 * 1024**2 + b'"}'
                headers = {"Content-Type": "application/json"}
                await self.send("POST", documents, 413, content=content, headers=headers)
            case 7:
                headers = {"Content-Type": "text/plain"}
                await self.send("POST", documents, 415, content=b"title", headers=headers)
            case 8:
                await self.send("POST", documents, 400, json={"title": "", "unknown": 1})
                headers = {"Content-Type": "application/json"}
                await self.send("POST", documents, 400, content=b"{", headers=headers)
            case 9:
                await self.send("PUT", documents, 405, json={})
                await self.send("GET", f"{documents}?unknown=1", 400)
            case 10:
                await self.send("POST", documents, 400, json={"title": "Large", "upload": upload})
            case 11:
                await self.send("GET", "/api/v1/profiles/", 200 if self.is_staff else 403)
                await self.send("GET", "/metrics", 401, 403, 404, signed_in=False)
            case 12:
                await self.send(
                    "GET", "/livez", 400, headers={"Host": "another.example.com"}, signed_in=False
                )
            case 13:
                url = "/storage/v1/object/sign/documents/nobody/a.pdf?token=x"
                await self.send("GET", url, 400, 401, 403, 404, signed_in=False)

    async def repeat_request(self) -> None:
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        body = {"title": f"Rota {self.used}"}
        path = "/api/v1/documents/"
        answers = [await self.send("POST", path, 201, json=body, headers=headers) for _ in range(2)]
        await self.send("POST", path, 422, json={"title": "Another"}, headers=headers)
        ids = {answer.json().get("id") for answer in answers if answer.status_code == 201}
        if len(ids) > 1:
            self.found.add("POST", path, 0, (), f"an Idempotency-Key created {ids}")
        for document in ids:
            await self.send("DELETE", f"{path}{document}/", 204, 202)

    async def exceed_rate(self) -> None:
        """Ask again and again, faster than the server allows."""
        if not self.documents:
            return
        for _ in range(12):
            path = f"{self.one()}revoke-urls/"
            if (await self.send("POST", path, 200, 204, 404, 429, pause=False)).status_code == 429:
                return

    # --- Clients that are slow, or break off ----------------------------------------------------------

    async def break_off(self) -> None:
        """Send half of a file, and close the connection."""
        if ticket := await self.create(SMALL_PDF):
            await self.raw(ticket, SMALL_PDF[:2500])
            await self.complete(ticket["complete_url"])

    async def send_slowly(self) -> None:
        if ticket := await self.create(SMALL_PDF):
            await self.raw(ticket, SMALL_PDF, 200, seconds=SLOW_SECONDS)
            await self.complete(ticket["complete_url"], 200)

    async def raw(
        self,
        ticket: dict[str, Any],
        content: bytes,
        *expected: int,
        length: int = len(SMALL_PDF),
        seconds: float = 0,
    ) -> None:
        """PUT the content piece by piece, as that of a file with `length` bytes, within so many seconds.

        Without an expected status, close the connection and wait for no response.
        """
        self.left -= 1
        parts = urlsplit(ticket["url"])
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        lines = [f"PUT {parts.path}?{parts.query} HTTP/1.1", f"Host: {parts.netloc}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in ticket["headers"].items()]
        lines += [f"Content-Length: {length}", "", ""]
        message = "\r\n".join(lines).encode() + content
        try:
            for start in range(0, len(message), 500):
                writer.write(message[start : start + 500])
                await writer.drain()
                await asyncio.sleep(seconds * 500 / len(message))
            if expected:
                answer = await asyncio.wait_for(reader.read(), timeout=60)
                status = int(answer.split()[1])
                self.found.add("PUT", ticket["url"], status, expected, answer.decode(errors="replace"))
        except (OSError, TimeoutError, IndexError) as error:
            self.found.add("PUT", ticket["url"], 0, (), repr(error))
        finally:
            writer.close()

    # --- Staff --------------------------------------------------------------------------------------

    async def keep_catalogue(self) -> None:
        """Create a species with two pictures, change it, and delete it."""
        name = "".join(self.random.choices("abcdefghijklmnopqrstuvwxyz", k=10))
        body = {
            "common_name": f"{self.random.choice(WORDS)} of {name}",
            "scientific_name": f"{name.title()} {name}",
            "conservation_status": "LC",
            "published": True,
        }
        created = await self.send("POST", "/api/v1/species/", 201, 400, json=body)
        if created.status_code != 201:
            return
        entry = f"/api/v1/species/{created.json()['slug']}/"
        for path in ("upload-url/", "pictures/upload-url/"):
            picture = self.random.choice(PICTURES)
            announced = {"filename": "a.jpg", "content_type": "image/jpeg", "size": len(picture)}
            asked = await self.send("POST", f"{entry}{path}", 201, 400, 429, json=announced)
            if asked.status_code == 201:
                await self.put(asked.json(), picture, 200)
                await self.complete(asked.json()["complete_url"], 200)
        read = await self.send("GET", entry, 200, signed_in=False)
        if read.status_code == 200 and (image := read.json().get("image")):
            for url in _urls(image):
                await self.send("GET", url, 200, signed_in=False)
        await self.send("PATCH", entry, 200, json={"description": "Changed. " * 20})
        await self.send("POST", f"{entry}qr-code/", 200, 201, 204, 429)
        if self.random.random() < 0.3:
            await self.send("DELETE", f"{entry}image/", 204, 202, 404)
        await self.send("DELETE", entry, 204, 202)

    async def use_admin(self) -> None:
        """Read pages of the admin, as an administrator behind a proxy with TLS."""
        https = {"X-Forwarded-Proto": "https", "Referer": f"{self.address}/".replace("http:", "https:")}
        if "sessionid" not in self.cookies:
            page = await self.send("GET", "/admin/login/", 200, signed_in=False, headers=https)
            self.keep_cookies(page)
            found = re.search(r'csrfmiddlewaretoken" value="([^"]+)"', page.text)
            form = {
                "username": "administrator",
                "password": self.password,
                "csrfmiddlewaretoken": found[1] if found else "",
                "next": "/admin/",
            }
            headers = {**https, "Cookie": self.cookie}
            answer = await self.send(
                "POST", "/admin/login/", 302, data=form, headers=headers, signed_in=False
            )
            self.keep_cookies(answer)
        for page_path in self.random.sample(ADMIN_PAGES, 3):
            headers = {**https, "Cookie": self.cookie}
            await self.send("GET", f"/admin/{page_path}", 200, signed_in=False, headers=headers)

    def keep_cookies(self, response: httpx.Response) -> None:
        """Keep them here: httpx would not send secure ones without TLS."""
        for cookie in response.headers.get_list("Set-Cookie"):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value

    @property
    def cookie(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())


def _urls(value: Any) -> list[str]:
    """Return all URLs that are somewhere in the value."""
    if isinstance(value, str):
        return [value] if value.startswith("http") else []
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [url for child in children for url in _urls(child)]


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()
