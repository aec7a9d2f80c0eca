"""Speech over HTTP: what comes out is what the model says, in every format, whole and streamed."""

import base64
import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import numpy as np
import openai
import pytest
import soundfile
from served import QUICK, served, small_synthesizer

from dialoom.audio import Waveform, resample
from dialoom.generate import SamplingSettings, Synthesizer
from dialoom.generate.narration import Narration
from dialoom.serve import ServeSettings, create_app

SETTINGS = SamplingSettings(**QUICK)


@pytest.fixture(scope="module")
def synthesizer() -> Synthesizer:
    return small_synthesizer()


@pytest.fixture(scope="module")
def url(synthesizer: Synthesizer) -> Iterator[str]:
    models = {"one": synthesizer, "two": small_synthesizer(seed=1)}
    with served(create_app(models, ServeSettings())) as url:
        yield url


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


def alone(synthesizer: Synthesizer, text: str, **settings: float) -> np.ndarray:
    """What the model says when nobody else asks."""
    narration = Narration(synthesizer, text, SamplingSettings(**(QUICK | settings)))
    return np.concatenate([piece.samples for piece in narration])


def speak(client: openai.OpenAI, text: str = "Hi.", **wish: object) -> bytes:
    format = str(wish.pop("response_format", "wav"))
    model = str(wish.pop("model", "one"))
    return client.audio.speech.create(
        model=model, voice="default", input=text, response_format=format, extra_body=QUICK | wish
    ).content


@pytest.mark.parametrize("format", ["wav", "flac", "mp3", "opus", "pcm"])
@pytest.mark.parametrize("stream", [False, True])
def test_every_format_holds_what_the_model_says(
    client: openai.OpenAI, synthesizer: Synthesizer, format: str, stream: bool
) -> None:
    data = speak(client, response_format=format, stream=stream)
    wanted = alone(synthesizer, "Hi.")
    rate_hz = synthesizer.codec_spec.sample_rate_hz
    if format == "pcm":
        heard, heard_hz = np.frombuffer(data, "<i2") / 32768, 24_000
    elif format == "wav" and stream:
        heard, heard_hz = np.frombuffer(data[44:], "<i2") / 32768, rate_hz
    else:
        if format == "flac" and stream:  # its header leaves the length open (RFC 9639, 8.2)
            assert data[22:26] == b"\0" * 4
            data = data[:22] + wanted.size.to_bytes(4, "big") + data[26:]
        heard, heard_hz = soundfile.read(io.BytesIO(data))
    assert heard.size / heard_hz == pytest.approx(wanted.size / rate_hz, abs=0.04)
    if format in ("wav", "flac"):
        np.testing.assert_allclose(heard, np.clip(wanted, -1, 1), atol=1e-3)
    else:
        assert np.sqrt((heard**2).mean()) == pytest.approx(np.sqrt((wanted**2).mean()), rel=0.3)


def test_a_whole_wav_tells_its_length_and_a_streamed_one_cannot(client: openai.OpenAI) -> None:
    whole, stream = speak(client, stream=False), speak(client, stream=True)
    assert int.from_bytes(whole[4:8], "little") == len(whole) - 8
    assert stream[4:8] == b"\xff" * 4
    assert stream[:4] + stream[8:16] == b"RIFFWAVEfmt "


def test_streams_come_in_pieces(client: openai.OpenAI) -> None:
    with client.audio.speech.with_streaming_response.create(
        model="one", voice="default", input="Hi.", response_format="pcm",
        extra_body={"max_seconds": 0.6, "cfg_scale": 0},
    ) as answer:  # fmt: skip
        pieces = list(answer.iter_bytes())
        assert answer.headers["x-sample-rate"] == "24000"
    assert len(pieces) > 3
    assert len(pieces[0]) < sum(map(len, pieces)) / 3
    whole = speak(client, response_format="pcm", max_seconds=0.6)
    assert b"".join(pieces) == whole


def test_events_hold_the_sound_and_end_with_the_usage(url: str, client: openai.OpenAI) -> None:
    wish = {"model": "one", "input": "Hi.", "response_format": "pcm", "stream_format": "sse"}
    answer = httpx2.post(f"{url}/v1/audio/speech", json=wish | QUICK)
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line]
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert {event["type"] for event in events[:-1]} == {"speech.audio.delta"}
    assert events[-1]["type"] == "speech.audio.done"
    assert events[-1]["usage"] == {"input_tokens": 3, "output_tokens": 13, "total_tokens": 16}
    sound = b"".join(base64.b64decode(event["audio"]) for event in events[:-1])
    assert sound == speak(client, response_format="pcm")


def test_many_at_once_are_batched_and_each_gets_its_own(
    url: str, client: openai.OpenAI, synthesizer: Synthesizer
) -> None:
    texts = [f"Number {n} of a few." for n in range(8)]
    with ThreadPoolExecutor(8) as threads:
        answers = list(
            threads.map(
                lambda n: speak(client, texts[n], seed=n, max_seconds=0.1 + n / 50), range(8)
            )
        )
    for n, answer in enumerate(answers):
        heard, _ = soundfile.read(io.BytesIO(answer))
        wanted = alone(synthesizer, texts[n], seed=n, max_seconds=0.1 + n / 50)
        np.testing.assert_allclose(heard, np.clip(wanted, -1, 1), atol=1e-3)
    metrics = httpx2.get(f"{url}/metrics").text
    counts = {
        line.split()[0]: float(line.split()[1])
        for line in metrics.splitlines()
        if line.startswith("dialoom_batch_size")
    }
    assert (
        counts['dialoom_batch_size_count{model="one"}']
        < counts['dialoom_batch_size_sum{model="one"}']
    )


def test_models_are_chosen_by_name(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["one", "two"]
    assert client.models.retrieve("two").id == "two"
    assert speak(client, model="one") != speak(client, model="two")
    with pytest.raises(openai.NotFoundError, match="choose one of one, two"):
        speak(client, model="three")


def test_a_long_text_is_spoken_in_parts(client: openai.OpenAI) -> None:
    text = "This is a sentence of some length, and it says little. " * 8
    one = soundfile.info(io.BytesIO(speak(client, "This.")))
    all_of_it = soundfile.info(io.BytesIO(speak(client, text)))
    assert all_of_it.frames > 1.5 * one.frames


def test_rates_that_opus_lacks_are_resampled(
    synthesizer: Synthesizer, client: openai.OpenAI
) -> None:
    data = speak(client, response_format="pcm")
    heard = np.frombuffer(data, "<i2") / 32768
    wanted = resample(
        Waveform(alone(synthesizer, "Hi."), synthesizer.codec_spec.sample_rate_hz), 24_000
    ).samples
    size = min(heard.size, wanted.size)
    assert abs(heard.size - wanted.size) <= 2
    np.testing.assert_allclose(heard[:size], np.clip(wanted[:size], -1, 1), atol=2e-2)


def test_metrics_count_answers_by_route(url: str) -> None:
    httpx2.get(f"{url}/nowhere/{'x' * 20}")
    metrics = httpx2.get(f"{url}/metrics").text
    assert 'dialoom_answers_total{path="unknown",status="404"}' in metrics
    assert 'dialoom_answers_total{path="/v1/audio/speech",status="200"}' in metrics
    assert "x" * 20 not in metrics
    assert httpx2.get(f"{url}/health").json() == {"status": "ok", "needs_token": False}
