"""What is refused, with which status; and that nothing a client sends breaks the server."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from fake_speech import fake_sentence
from hypothesis import given, settings
from hypothesis import strategies as st
from serve_clips import TOKEN, limited_client, upload, wav
from served import QUICK, small_synthesizer

from dialoom.generate import Voice, VoicePrompt, save_voice
from dialoom.generate.voice import encode_prompt

WISH = {"model": "one", "input": "Hi.", "response_format": "pcm", **QUICK}


@pytest.fixture(scope="module")
def voices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("served") / "voices"
    directory.mkdir()
    prompt = VoicePrompt(fake_sentence(1, num_sounds=3), "[S1] Ah.")
    voice = encode_prompt(prompt, small_synthesizer().codec)
    save_voice(voice, str(directory / "anna.safetensors"))
    save_voice(voice, str(directory.parent / "secret.safetensors"))
    return directory


@pytest.fixture(scope="module")
def client(voices: Path) -> Iterator[httpx2.Client]:
    with limited_client(voices) as client:
        yield client


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", "Bearer ü"])
@pytest.mark.parametrize("path", ["/v1/models", "/v1/voices", "/metrics", "/run/summary"])
def test_without_the_token_nothing_is_told(client: httpx2.Client, path: str, header: str) -> None:
    answer = client.get(path, headers={"Authorization": header.encode()})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("header", ["", "Bearer wrong", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}"])
def test_without_the_token_nothing_is_done(client: httpx2.Client, header: str) -> None:
    headers = {"Authorization": header}
    files = {"file": ("x.wav", wav())}
    answers = [
        client.post("/v1/audio/speech", json=WISH, headers=headers),
        client.post("/v1/audio/speech", content=b"{", headers=headers),
        client.post("/v1/voices", files=files, data={"name": "a", "text": "b"}, headers=headers),
        client.delete("/v1/voices/anna", headers=headers),
    ]
    assert [answer.status_code for answer in answers] == [401] * 4
    assert len(client.get("/v1/voices").json()["data"]) == 2


def test_pages_and_health_need_no_token(client: httpx2.Client) -> None:
    for path in ("/", "/run", "/speak.js", "/health"):
        answer = client.get(path, headers={"Authorization": "none"})
        assert answer.status_code == 200
        assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        ({"model": "two"}, 404, "there is no model 'two': choose one of one"),
        ({"voice": "nobody"}, 404, "there is no voice 'nobody': choose one of default, anna"),
        ({"voice": {"id": "nobody"}}, 404, "there is no voice 'nobody'"),
        ({"input": "x" * 101}, 413, "input has 101 characters, at most 100"),
        ({"input": ""}, 422, "input: "),
        ({"input": " "}, 422, "the text is empty"),
        ({"input": "[S9] Hi."}, 422, "the model has no speaker"),
        ({"input": "a\x01b"}, 422, "control byte"),
        ({"response_format": "aac"}, 422, "response_format: "),
        ({"speed": 1.5}, 422, "speed is 1.5: Dia cannot be told a speed"),
        ({"cfg_scale": False}, 422, "cfg_scale: "),
        ({"seed": "1"}, 422, "seed: "),
        ({"temperature": -1}, 422, "temperature is -1.0: it must be"),
        ({"seed": -1}, 422, "seed is -1"),
        ({"language": "xx"}, 422, "xx"),
        ({"colour": 1}, 422, "colour: "),
    ],
)
def test_wrong_wishes_are_told(
    client: httpx2.Client, change: dict[str, object], status: int, message: str
) -> None:
    answer = client.post("/v1/audio/speech", json=WISH | change)
    assert (answer.status_code, message in answer.json()["error"]["message"]) == (status, True), (
        answer.text
    )


@pytest.mark.parametrize("body", [b"", b"{", b'{"input": "\\ud800"}', b"\xff", b"\x1f\x8b\x08\x00"])
def test_what_is_no_json_is_told(client: httpx2.Client, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    assert client.post("/v1/audio/speech", content=body, headers=headers).status_code == 400


def test_forms_of_other_sites_are_not_read(client: httpx2.Client) -> None:
    answer = client.post("/v1/audio/speech", content=b"{}", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 400
    assert "content-type is 'text/plain'" in answer.text


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/v1/voices", "GET, POST"), ("/v1/voices/x", "DELETE"), ("/v1/audio/speech", "POST")],
)
def test_a_wrong_method_hears_the_right_ones(
    client: httpx2.Client, path: str, allowed: str
) -> None:
    answer = client.patch(path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize("is_told", [True, False])
@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/v1/audio/speech", "application/json"),
        ("/v1/voices", "multipart/form-data; boundary=b"),
    ],
)
def test_a_huge_body_is_refused(
    client: httpx2.Client, path: str, media_type: str, is_told: bool
) -> None:
    block = b"x" * 100_000
    content = block * 5 if is_told else iter([block] * 5)
    answer = client.post(path, content=content, headers={"Content-Type": media_type})
    assert answer.status_code == 413
    assert "larger than 400000 bytes" in answer.text


@pytest.mark.parametrize(
    ("path", "type"),
    [
        ("/v1/audio/speech", "application/json"),
        ("/v1/voices", "multipart/form-data; boundary=b"),
    ],
)
def test_a_body_that_does_not_arrive_is_given_up(
    client: httpx2.Client, path: str, type: str
) -> None:
    """A byte now and then does not help."""
    address = (client.base_url.host, client.base_url.port)
    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(
            f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
            f"Content-Type: {type}\r\nContent-Length: 100\r\n\r\n".encode()
        )
        for _ in range(4):
            connection.sendall(b"-")
            time.sleep(0.1)
        assert b" 408 " in connection.recv(1000)


@pytest.mark.parametrize(
    "name",
    [
        "../secret", "..%2fsecret", "/etc/passwd", "anna.safetensors", "secret\x00",
        "voices/../anna", "..\\secret", "C:\\secret", "%2e%2e%2fsecret", "anna%00", "~/secret",
    ],
)  # fmt: skip
def test_voices_are_never_paths(client: httpx2.Client, voices: Path, name: str) -> None:
    for id in (name, str(voices.parent / "secret.safetensors")):
        assert client.post("/v1/audio/speech", json=WISH | {"voice": id}).status_code == 404
    assert client.delete(f"/v1/voices/{name.replace(chr(0), '%00')}").status_code == 404
    assert (voices.parent / "secret.safetensors").exists()


@pytest.mark.parametrize(
    "path", ["/../pyproject.toml", "/..%2f..%2fapp.py", "/%2e%2e/app.py", "/run/samples/0/../../x"]
)
def test_pages_are_never_paths(client: httpx2.Client, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("name", ["../one", "..%2fone", "/one", "one%00", "one/../one", "..\\one"])
def test_models_are_never_paths(client: httpx2.Client, name: str) -> None:
    assert client.get(f"/v1/models/{name.replace('..', '%2e%2e')}").status_code == 404
    assert client.post("/v1/audio/speech", json=WISH | {"model": name}).status_code == 404
    assert upload(client, wav(), model=name).status_code == 404


def test_voices_of_the_directory_and_of_clients(client: httpx2.Client) -> None:
    listed = {voice["id"] for voice in client.get("/v1/voices").json()["data"]}
    assert listed == {"default", "anna"}
    plain = client.post("/v1/audio/speech", json=WISH).content
    anna = client.post("/v1/audio/speech", json=WISH | {"voice": "anna"}).content
    made = upload(client, wav(), name="../../ me")
    assert made.status_code == 201
    assert made.json()["name"] == "../../ me"
    mine = client.post("/v1/audio/speech", json=WISH | {"voice": {"id": made.json()["id"]}})
    assert mine.status_code == 200
    assert len({plain, anna, mine.content}) == 3
    assert client.delete(f"/v1/voices/{made.json()['id']}").status_code == 200
    assert client.delete("/v1/voices/anna").status_code == 404
    assert {voice["id"] for voice in client.get("/v1/voices").json()["data"]} == listed


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2)
    ),
    max_leaves=4,
)
KEYS = (
    "model", "input", "voice", "response_format", "speed", "instructions", "stream_format",
    "stream", "language", "seed", "temperature", "top_p", "top_k", "cfg_scale", "max_seconds",
)  # fmt: skip


@settings(max_examples=200)
@given(change=st.dictionaries(st.sampled_from(KEYS), JSON_VALUES, min_size=1, max_size=3))
def test_no_body_breaks_it(client: httpx2.Client, change: dict[str, object]) -> None:
    import json

    body = json.dumps(WISH | {"max_seconds": 0.02} | change).encode()
    headers = {"Content-Type": "application/json"}
    answer = client.post("/v1/audio/speech", content=body, headers=headers)
    assert answer.status_code in (200, 400, 404, 413, 422), answer.text


def test_a_voice_of_another_codec_is_told(client: httpx2.Client, voices: Path) -> None:
    from dataclasses import replace

    from dialoom.generate import load_voice

    voice: Voice = load_voice(str(voices / "anna.safetensors"))
    other = replace(voice, codec=replace(voice.codec, content_hash="0" * 64))
    path = save_voice(other, str(voices / "other.safetensors"))
    answer = client.post("/v1/audio/speech", json=WISH | {"voice": "other"})
    path.unlink()
    assert (answer.status_code, "make the voice again" in answer.text) == (422, True)
