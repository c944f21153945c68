"""The WSGI application: ``wsgi:app``. gunicorn and ``flask`` find it here."""

import sys

from callapp import create_app, doctor
from callapp.errors import ConfigError
from callapp.logs import refuse_to_start

try:
    app = doctor.waiting_room() if doctor.called() else create_app()
except ConfigError as error:
    sys.exit(refuse_to_start(error))
