"""The application for an ASGI server of one's own choice: ``hypercorn iotsphere.asgi:app --workers 2``."""

from iotsphere.app import create_app
from iotsphere.config import read_settings
from iotsphere.containers.application import create_container

app = create_app(create_container(read_settings()))
