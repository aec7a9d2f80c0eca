"""Thousands of generated requests against a server: no 500, no hang, flat memory.

    pip install schemathesis
    python benchmarks/serve_fuzz.py --requests 10000

schemathesis reads /openapi.json and makes requests that obey it and requests that do not: several
of it at once, in rounds with new seeds, until the server has answered so many. The models are small
and random, and speak at most MAX_FRAMES frames of a part; everything else is the server as it is.
Exits with 1 where a check fails, a status is 500 or above but 503, or memory has grown.
"""

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from fake_speech import fake_sentence
from serve_load import resident_mib
from served import served, small_synthesizer

from dialoom.audio import write_audio
from dialoom.generate import SamplingSettings, Synthesizer, VoicePrompt, save_voice
from dialoom.generate.voice import encode_prompt
from dialoom.observe import METRICS_FILE, MetricsLog, SampleRecord
from dialoom.serve import ServeSettings, create_app

TOKEN = "a-token-for-the-fuzzer"
MAX_FRAMES = 4
SLOWEST_S = 30.0
ALLOWED_GROWTH_MIB = 64
WARM_UP_SHARE = 0.3
"""Of the requests, before which memory may still grow."""

CONFIG = """
[checks]
positive_data_acceptance.enabled = false

[[operations]]
include-path = "/v1/voices"
checks.negative_data_rejection.enabled = false
"""
"""All checks but two: what a text or a clip may hold no schema can say; and all fields of a form
are strings, so that a number in place of a name is a name."""

ANSWERS = re.compile(r'dialoom_answers_total\{path="([^"]+)",status="(\d+)"\} (\S+)')


@contextlib.contextmanager
def fuzzed_server(directory: Path) -> Iterator[str]:
    synthesizer = small_synthesizer()
    voices, run = directory / "voices", directory / "run"
    for each in (voices, run / "samples"):
        each.mkdir(parents=True)
    prompt = VoicePrompt(fake_sentence(1, num_sounds=10), "[S1] Ah.")
    save_voice(encode_prompt(prompt, synthesizer.codec), str(voices / "anna.safetensors"))
    write_audio(run / "samples" / "a.wav", fake_sentence(1, num_sounds=5))
    with MetricsLog(run / METRICS_FILE, resume_step=None) as log:
        log.write(SampleRecord(1, "one", "[S1] Hi.", "samples/a.wav", 40, stopped=True))
    limits = ServeSettings(
        token=TOKEN, voices=voices, run_dir=run, body_timeout_s=2.0, speak_timeout_s=20.0
    )
    models = {"one": synthesizer, "two/of two": small_synthesizer(seed=1)}
    with served(create_app(models, limits)) as url:
        yield url


def speak_little() -> None:
    """Models that never end by themselves would speak for 35 s where no limit is given."""
    whole = Synthesizer._max_frames

    def limited(self: Synthesizer, settings: SamplingSettings) -> int:
        return min(MAX_FRAMES, whole(self, settings) or MAX_FRAMES)

    Synthesizer._max_frames = limited  # type: ignore[method-assign]


def sharpened(url: str, path: Path) -> None:
    """The server's schema, with names of formats that serve_fuzz_formats.py makes."""
    document = httpx2.get(f"{url}/openapi.json").json()
    schemas = document["components"]["schemas"]
    speech = schemas["SpeechBody"]["properties"]
    speech["input"]["format"] = "script"
    speech["voice"]["anyOf"][0]["format"] = "voice"
    schemas["VoiceId"]["properties"]["id"]["format"] = "voice"
    names = document["paths"]["/v1/models/{name}"]["get"]["parameters"][0]["schema"]
    names["enum"] = [*speech["model"]["enum"], "other"]
    path.write_text(json.dumps(document))
    (path.parent / "schemathesis.toml").write_text(CONFIG)


def one_round(url: str, schema: Path, options: argparse.Namespace, round: int) -> bool:
    """Whether a check failed. Processes, as Python 3.11 parses code wrongly in several threads."""
    seeds = range(round * options.workers, (round + 1) * options.workers)
    running = [start(url, schema, options, options.seed + seed) for seed in seeds]
    ends = [process.wait() for process in running]
    if max(ends) > 1:  # 1: a check failed
        sys.exit(f"schemathesis did not run: read {options.logs}/fuzz-*.txt")
    return any(ends)


def start(
    url: str, schema: Path, options: argparse.Namespace, seed: int
) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "schemathesis.cli", "run", str(schema), "--url", url]
    command += ["--header", f"Authorization: Bearer {TOKEN}"]
    command += ["--request-timeout", str(SLOWEST_S), "--workers", "1"]
    command += ["--max-examples", str(options.examples), "--seed", str(seed)]
    command += ["--continue-on-failure", "--suppress-health-check", "all", "--no-color"]
    here = str(Path(__file__).parent)
    paths = os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])
    hooks = {"SCHEMATHESIS_HOOKS": "serve_fuzz_formats", "PYTHONPATH": paths}
    with (options.logs / f"fuzz-{seed}.txt").open("wb") as log:
        return subprocess.Popen(
            command, env=os.environ | hooks, cwd=schema.parent, stdout=log, stderr=log
        )


def answers(url: str) -> dict[tuple[str, int], int]:
    text = httpx2.get(f"{url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text
    return {(path, int(status)): int(float(n)) for path, status, n in ANSWERS.findall(text)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--examples", type=int, default=100, help="of an operation in a round")
    parser.add_argument("--workers", type=int, default=4, help="schemathesis processes at once")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--logs", type=Path, default=Path(tempfile.gettempdir()))
    options = parser.parse_args()
    torch.set_num_threads(1)
    speak_little()
    with tempfile.TemporaryDirectory() as directory:
        schema = Path(directory) / "openapi.json"
        with fuzzed_server(Path(directory)) as url:
            sharpened(url, schema)
            sys.exit(fuzz(url, schema, options))


def fuzz(url: str, schema: Path, options: argparse.Namespace) -> int:
    began, round, failed, warm = time.monotonic(), 0, False, 0.0
    seen = answers(url)
    while sum(seen.values()) < options.requests:
        failed |= one_round(url, schema, options, round)
        round, seen = round + 1, answers(url)
        print(f"after {sum(seen.values())} requests: {resident_mib():.0f} MiB", flush=True)
        if not warm and sum(seen.values()) >= WARM_UP_SHARE * options.requests:
            warm = resident_mib()
    alive_s = time.monotonic()
    wish = {"model": "one", "input": "Hi.", "response_format": "pcm"}
    last = httpx2.post(
        f"{url}/v1/audio/speech", json=wish, headers={"Authorization": f"Bearer {TOKEN}"}
    )
    alive_s = time.monotonic() - alive_s
    grown = resident_mib() - warm
    for (path, status), number in sorted(seen.items()):
        print(f"{number:6d}  {status}  {path}")
    wrong = sum(n for (_, status), n in seen.items() if status >= 500 and status != 503)
    print(f"{sum(seen.values())} requests in {time.monotonic() - began:.0f} s, {round} rounds")
    print(f"500 and above but 503: {wrong}; then a text was spoken in {alive_s:.2f} s")
    print(f"memory {warm:.0f} MiB warm, {warm + grown:.0f} MiB at the end")
    if failed:
        print(f"a check failed: read {options.logs}/fuzz-*.txt")
    is_well = last.status_code == 200 and not wrong and grown < ALLOWED_GROWTH_MIB
    return 0 if is_well and not failed else 1


if __name__ == "__main__":
    main()
