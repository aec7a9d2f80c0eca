"""Clips that clients send: what cannot be a voice is refused, and no bomb is unpacked."""

import io
import time
from collections.abc import Iterator

import httpx2
import numpy as np
import pytest
import soundfile
from serve_clips import LIMITS, limited_client, upload, wav


@pytest.fixture(scope="module")
def client() -> Iterator[httpx2.Client]:
    with limited_client() as client:
        yield client


def hours_of_silence() -> bytes:
    """Three hours of sound in few bytes."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", 8_000, 1, format="FLAC", subtype="PCM_16") as flac:
        for _ in range(180):
            flac.write(np.zeros(60 * 8_000, np.int16))
    return file.getvalue()


def minute_of_silence(container: str, subtype: str | None) -> bytes:
    """As few bytes as each format needs."""
    file = io.BytesIO()
    with soundfile.SoundFile(
        file, "w", 8_000, 1, format=container, subtype=subtype, compression_level=0.99
    ) as sound:
        sound.write(np.zeros(60 * 8_000, np.float32))
    return file.getvalue()


def with_length(flac: bytes, num_samples: int) -> bytes:
    """A FLAC that says another number of samples than it has."""
    place = 4 + 4 + 14
    return flac[:place] + num_samples.to_bytes(4, "big") + flac[place + 4 :]


def without_length(flac: bytes) -> bytes:
    """A FLAC that says 0 samples, which stands for an unknown number (RFC 9639, 8.2)."""
    place = 4 + 4 + 13  # marker, block header, up to the last 36 bits of the count
    return flac[:place] + bytes([flac[place] & 0xF0]) + b"\0\0\0\0" + flac[place + 5 :]


@pytest.fixture(scope="module")
def bomb() -> bytes:
    data = hours_of_silence()
    assert len(data) < LIMITS["max_body_bytes"] - 1000
    return data


@pytest.mark.parametrize("tells_length", [True, False])
def test_a_bomb_of_audio_is_not_unpacked(
    client: httpx2.Client, bomb: bytes, tells_length: bool
) -> None:
    began = time.process_time()
    answer = upload(client, bomb if tells_length else without_length(bomb))
    assert answer.status_code == 422
    refusal = "at most 30.0 s are read" if tells_length else "does not say how long it is"
    assert refusal in answer.text
    assert time.process_time() - began < 0.5  # of 3 h; the server is in this process


@pytest.mark.parametrize(
    ("container", "subtype"), [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None)]
)
def test_bombs_of_other_formats_are_not_unpacked(
    client: httpx2.Client, container: str, subtype: str | None
) -> None:
    data = minute_of_silence(container, subtype)
    assert len(data) < LIMITS["max_body_bytes"] - 1000
    answer = upload(client, data)
    assert (answer.status_code, "at most 30.0 s are read" in answer.text) == (422, True)


def test_a_bomb_that_says_it_is_short_is_read_as_far_as_it_says(
    client: httpx2.Client, bomb: bytes
) -> None:
    began = time.process_time()
    answer = upload(client, with_length(bomb, 8_000))
    assert answer.status_code == 422
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    ("data", "fields", "status", "message"),
    [
        (b"", {}, 422, "has format none"),
        (b"not audio at all", {}, 422, "has format none"),
        (wav()[:200], {}, 422, "its end is missing"),
        (wav(channels=3), {}, 422, "3 channels"),
        (wav(), {"text": " "}, 422, "transcript"),
        (wav(), {"name": ""}, 422, "name: "),
        (wav(), {"name": "a\nb"}, 422, "name: "),
        (wav(), {"name": "a\x9cb"}, 422, "name: "),
        (wav(), {"model": "two"}, 404, "there is no model"),
    ],
)
def test_clips_that_cannot_be_voices_are_told(
    client: httpx2.Client, data: bytes, fields: dict[str, str], status: int, message: str
) -> None:
    answer = upload(client, data, **fields)
    assert (answer.status_code, message in answer.text) == (status, True), answer.text


def test_forms_without_file_or_form_are_told(client: httpx2.Client) -> None:
    headers = {"Content-Type": "multipart/form-data"}
    assert client.post("/v1/voices", content=b"x", headers=headers).status_code == 400
    answer = client.post("/v1/voices", files={"name": (None, "me"), "text": (None, "Ah.")})
    assert (answer.status_code, "send an audio file" in answer.text) == (422, True)
