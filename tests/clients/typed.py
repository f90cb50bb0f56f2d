"""Uses the client that openapi-python-client made from schema.yml. Usage: python typed.py BASE TOKEN"""

import sys

import httpx
from vivarium import AuthenticatedClient, Client
from vivarium.api.documents import create_document
from vivarium.api.species import list_species
from vivarium.api.uploads import complete_upload, read_ticket
from vivarium.models import (
    CreatedDocument,
    InvalidProblem,
    NewDocumentRequest,
    ObjectMissingProblem,
    PaginatedSpeciesList,
    QuotaExceededProblem,
    Ticket,
    Upload,
    UploadRequest,
    UploadStateEnum,
)

CONTENT = b"%PDF-1.4 typed\n"

base, token = sys.argv[1:]
member = AuthenticatedClient(base, token)

page = list_species.sync(client=Client(base))  # without a token
assert isinstance(page, PaginatedSpeciesList)
for species in page.results:
    renditions = species.image.renditions if species.image else []
    print(species.common_name, species.slug, *(f"{each.url} {each.width}w" for each in renditions))

match create_document.sync(client=member, body=NewDocumentRequest(title="")):
    case InvalidProblem(errors=errors):
        print("wrong", *(error.pointer for error in errors))
    case QuotaExceededProblem(used=used, limit=limit):
        print("full", used, limit)

declared = UploadRequest(filename="plan.pdf", content_type="application/pdf", size=len(CONTENT))
created = create_document.sync(client=member, body=NewDocumentRequest(title="Typed", upload=declared))
assert isinstance(created, CreatedDocument)
assert created.file is None
assert isinstance(created.ticket, Ticket)

early = complete_upload.sync(created.ticket.id, client=member)
assert isinstance(early, ObjectMissingProblem)
print("early", early.code)

ticket = read_ticket.sync(created.ticket.id, client=member)
assert isinstance(ticket, Ticket)
sent = httpx.request(ticket.method, ticket.url, headers=ticket.headers.to_dict(), content=CONTENT)
assert sent.status_code == 200, sent.text

done = complete_upload.sync(ticket.id, client=member)
assert isinstance(done, Upload)
assert done.state is UploadStateEnum.COMPLETED
print("done", done.state, done.found.content_type if done.found else "")
