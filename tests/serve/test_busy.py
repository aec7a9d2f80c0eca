"""A server that is full, slow, left alone or told to stop."""

import asyncio
import io
import json
import queue
import threading
import time
from collections.abc import Callable, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
import soundfile
import torch
from fake_speech import fake_sentence
from fastapi import FastAPI
from served import QUICK, served, small_synthesizer

from dialoom.errors import GenerationError
from dialoom.generate import SamplingSettings, Synthesizer
from dialoom.generate.decode import Decoding
from dialoom.generate.request import Request
from dialoom.serve import ServeSettings, create_app
from dialoom.serve.engine import Engine, EngineClosed, SpeakTimeout

WISH = {"model": "one", "input": "Hi.", "response_format": "pcm", **QUICK}
LONG = WISH | {"max_seconds": 20}


@pytest.fixture(scope="module")
def synthesizer() -> Synthesizer:
    return small_synthesizer()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Decoding goes on while it is set."""
    gate = threading.Event()
    advance = Decoding.advance

    def held(self: Decoding) -> None:
        gate.wait(10)
        advance(self)

    monkeypatch.setattr(Decoding, "advance", held)
    yield gate
    gate.set()


def request(seed: int = 0, frames: int = 12) -> Request:
    return Request([1, 72, 105], None, seed, SamplingSettings(cfg_scale=0), frames)


def far() -> float:
    return time.monotonic() + 30


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def inside(url: str) -> float:
    line = next(
        line
        for line in httpx2.get(f"{url}/metrics").text.splitlines()
        if line.startswith("dialoom_speech_requests ")
    )
    return float(line.split()[1])


def test_who_finds_no_place_is_told_to_come_again(
    synthesizer: Synthesizer, gate: threading.Event
) -> None:
    limits = ServeSettings(max_rows=1, max_waiting=2)
    with served(create_app({"one": synthesizer}, limits)) as url, ThreadPoolExecutor(3) as threads:
        speak = f"{url}/v1/audio/speech"
        waiting = [threads.submit(httpx2.post, speak, json=WISH, timeout=30) for _ in range(3)]
        wait_until(lambda: inside(url) == 3)
        refused = httpx2.post(speak, json=WISH)
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "2"
        gate.set()
        assert [answer.result().status_code for answer in waiting] == [200] * 3
        wait_until(lambda: inside(url) == 0)
        assert httpx2.post(speak, json=WISH).status_code == 200


def test_what_takes_too_long_is_given_up(synthesizer: Synthesizer, gate: threading.Event) -> None:
    limits = ServeSettings(speak_timeout_s=0.3)
    with served(create_app({"one": synthesizer}, limits)) as url:
        answer = httpx2.post(f"{url}/v1/audio/speech", json=WISH, timeout=10)
        assert answer.status_code == 503
        assert "the time for a request is over" in answer.text
        assert inside(url) == 0
        gate.set()


def test_a_client_that_leaves_makes_room(synthesizer: Synthesizer, gate: threading.Event) -> None:
    with served(create_app({"one": synthesizer}, ServeSettings())) as url:
        for stream in (False, True):
            with pytest.raises(httpx2.ReadTimeout):
                httpx2.post(f"{url}/v1/audio/speech", json=LONG | {"stream": stream}, timeout=0.5)
        wait_until(lambda: inside(url) == 0)
        gate.set()
        assert httpx2.post(f"{url}/v1/audio/speech", json=WISH, timeout=5).status_code == 200


def clip() -> bytes:
    sound, file = fake_sentence(1, num_sounds=3), io.BytesIO()
    soundfile.write(file, sound.samples, sound.sample_rate_hz, format="WAV")
    return file.getvalue()


def test_who_sends_a_clip_needs_a_place_too(
    synthesizer: Synthesizer, gate: threading.Event
) -> None:
    limits = ServeSettings(max_rows=1, max_waiting=1)
    with served(create_app({"one": synthesizer}, limits)) as url, ThreadPoolExecutor(2) as threads:
        speak, voices = f"{url}/v1/audio/speech", f"{url}/v1/voices"
        fields = {"name": "me", "text": "[S1] Ah."}

        def send() -> httpx2.Response:
            return httpx2.post(voices, files={"file": ("a.wav", clip())}, data=fields, timeout=30)

        waiting = [threads.submit(httpx2.post, speak, json=WISH, timeout=30) for _ in range(2)]
        wait_until(lambda: inside(url) == 2)
        refused = send()
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "2")
        gate.set()
        assert [answer.result().status_code for answer in waiting] == [200] * 2
        wait_until(lambda: inside(url) == 0)
        assert send().status_code == 201
        assert inside(url) == 0


def asked(
    app: FastAPI, path: str, body: object, take: Callable[[bytes], asyncio.Future[None] | None]
) -> list[int]:
    """Statuses that the application itself answers; `take` is given the body, and may wait."""
    statuses: list[int] = []
    sent = False

    async def receive() -> MutableMapping[str, object]:
        nonlocal sent
        if sent:
            await asyncio.Event().wait()
        sent = True
        return {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}

    async def send(message: MutableMapping[str, object]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(int(str(message["status"])))
        elif (waiting := take(bytes(message["body"]))) is not None:  # type: ignore[call-overload]
            await waiting

    scope = {
        "type": "http",
        "method": "POST" if body else "GET",
        "path": path,
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }
    asyncio.run(asyncio.wait_for(app(scope, receive, send), 20))
    return statuses


def test_who_does_not_take_the_stream_in_time_is_cut_off(synthesizer: Synthesizer) -> None:
    app = create_app({"one": synthesizer}, ServeSettings(speak_timeout_s=1.0))
    for _ in range(2):
        assert asked(
            app, "/v1/audio/speech", WISH, lambda _: asyncio.get_running_loop().create_future()
        ) == [200]
    told = bytearray()
    asked(app, "/metrics", None, told.extend)
    assert b"dialoom_speech_requests 0.0" in told


def test_a_stream_that_takes_too_long_ends_without_its_end(
    synthesizer: Synthesizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    advance, gate = Decoding.advance, threading.Event()

    def held(self: Decoding) -> None:
        if self.num_steps > 40:
            gate.wait(10)
        advance(self)

    monkeypatch.setattr(Decoding, "advance", held)
    with served(create_app({"one": synthesizer}, ServeSettings(speak_timeout_s=2.0))) as url:
        with pytest.raises(httpx2.RemoteProtocolError):
            httpx2.post(f"{url}/v1/audio/speech", json=LONG, timeout=20)
        assert inside(url) == 0
        gate.set()


def test_a_bug_is_told_without_its_inside_and_counted(
    synthesizer: Synthesizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Decoding, "advance", lambda self: {}["secret"])
    with served(create_app({"one": synthesizer}, ServeSettings())) as url:
        answer = httpx2.post(f"{url}/v1/audio/speech", json=WISH, timeout=20)
        assert (answer.status_code, answer.json()["error"]["type"]) == (500, "server_error")
        assert "secret" not in answer.text
        counted = 'dialoom_answers_total{path="/v1/audio/speech",status="500"} 1.0'
        assert counted in httpx2.get(f"{url}/metrics").text
        assert inside(url) == 0


def test_shutting_down_finishes_what_runs(synthesizer: Synthesizer) -> None:
    with served(create_app({"one": synthesizer}, ServeSettings())) as url:
        answer: queue.Queue[bytes] = queue.Queue()
        begun = threading.Event()

        def listen() -> None:
            wish = WISH | {"max_seconds": 2}
            with httpx2.stream("POST", f"{url}/v1/audio/speech", json=wish, timeout=30) as stream:
                begun.set()
                answer.put(b"".join(stream.iter_bytes()))

        thread = threading.Thread(target=listen)
        thread.start()
        assert begun.wait(10)
        assert answer.empty()
    thread.join()
    assert len(answer.get(timeout=1)) == pytest.approx(2 * 24_000 * 2, rel=0.02)
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"{url}/health")


def test_a_closed_engine_speaks_what_it_has_and_takes_no_more(synthesizer: Synthesizer) -> None:
    engine = Engine(synthesizer.decoder, max_rows=2)
    tickets = [engine.submit(request(seed)) for seed in range(5)]
    engine.close()
    for ticket in tickets:
        assert sum(piece.codes.shape[0] for piece in ticket.pieces(far())) == 12
    with pytest.raises(EngineClosed, match="shutting down"):
        engine.submit(request())


def test_an_engine_says_what_each_would_hear_alone(synthesizer: Synthesizer) -> None:
    engine = Engine(synthesizer.decoder, max_rows=8)
    requests = [request(seed, frames=6 + 3 * seed) for seed in range(6)]
    tickets = [engine.submit(each) for each in requests]
    for each, ticket in zip(requests, tickets, strict=True):
        alone = Decoding(synthesizer.decoder, [each], SamplingSettings())
        while not alone.is_done:
            alone.advance()
        heard = torch.cat([piece.codes for piece in ticket.pieces(far())])
        torch.testing.assert_close(heard, alone.results[0].codes)
    engine.close()


def test_a_later_request_does_not_wait_for_a_long_one(synthesizer: Synthesizer) -> None:
    engine = Engine(synthesizer.decoder, max_rows=8)
    long = engine.submit(request(frames=1500))
    first = next(long.pieces(far()))
    assert not first.stopped
    del first
    sleepless = engine.submit(request(frames=8))
    assert sum(piece.codes.shape[0] for piece in sleepless.pieces(far())) == 8
    long.cancel()
    engine.close(10)


def test_what_breaks_a_batch_is_told_and_the_engine_goes_on(
    synthesizer: Synthesizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(synthesizer.decoder, max_rows=2)
    with monkeypatch.context() as patch:
        patch.setattr(Decoding, "advance", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            list(engine.submit(request()).pieces(far()))
    assert list(engine.submit(request()).pieces(far()))
    with pytest.raises(GenerationError, match="reads 1 to"):
        engine.submit(Request([1] * 5000))
    with pytest.raises(SpeakTimeout):
        next(engine.submit(request()).pieces(time.monotonic() - 1))
    engine.close()
