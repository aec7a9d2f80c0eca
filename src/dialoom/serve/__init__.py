"""Speech over HTTP: OpenAI's API, a page to try voices, and a page of a run in progress."""

from dialoom.serve.app import create_app
from dialoom.serve.server import serve
from dialoom.serve.settings import ServeSettings
from dialoom.serve.speaker import Speaker

__all__ = ["ServeSettings", "Speaker", "create_app", "serve"]
