"""A server with a token and low limits, and clips that are sent to it."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import numpy as np
import soundfile
from fake_speech import fake_sentence
from served import served, small_synthesizer

from dialoom.serve import ServeSettings, create_app

TOKEN = "a-token-of-some-length"
LIMITS = {"max_text_chars": 100, "max_body_bytes": 400_000, "body_timeout_s": 0.5}


@contextmanager
def limited_client(voices: Path | None = None) -> Iterator[httpx2.Client]:
    """Asks such a server, with the token."""
    app = create_app(
        {"one": small_synthesizer()}, ServeSettings(token=TOKEN, voices=voices, **LIMITS)
    )
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with served(app) as url, httpx2.Client(base_url=url, headers=headers, timeout=60) as client:
        yield client


def wav(waveform_seconds: float = 0.3, channels: int = 1) -> bytes:
    samples = fake_sentence(2, num_sounds=round(waveform_seconds * 10)).samples
    file = io.BytesIO()
    soundfile.write(file, np.stack([samples] * channels, 1), 16_000, format="WAV")
    return file.getvalue()


def upload(client: httpx2.Client, data: bytes, **fields: str) -> httpx2.Response:
    fields = {"name": "me", "text": "[S1] Ah."} | fields
    return client.post("/v1/voices", files={"file": ("../../x.wav", data)}, data=fields)
