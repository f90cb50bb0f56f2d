"""What gunicorn serves. WSGI only: the local store reads a chunked body from `wsgi.input`."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backend.settings")

application = get_wsgi_application()
