"""A folder of recordings with transcripts, and its preparation with the fake codec."""

from pathlib import Path

from fake_audio import FakeCodec, write_tone

from dialoom.data import PrepareOptions, PrepareSummary, prepare


def write_clip(folder: Path, name: str, text: str = "some text", duration_s: float = 0.2) -> Path:
    number = 200.0 + len(name) + sum(map(ord, name)) % 97
    path = write_tone(folder / f"{name}.wav", duration_s, frequency_hz=number)
    path.with_suffix(".txt").write_text(text)
    return path


def write_source(tmp_path: Path, number: int = 5) -> Path:
    for i in range(number):
        write_clip(tmp_path / "source", f"clip-{i:02d}", duration_s=0.1 + 0.05 * (i % 4))
    return tmp_path / "source"


def prepare_fake(source: Path, out: Path, codec: FakeCodec | None = None) -> PrepareSummary:
    """One clip at a time, so that a codec that is killed has encoded exactly those before it."""
    return prepare(source, out, PrepareOptions(workers=1), codec=codec or FakeCodec())


def read_files(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}
