"""A file of lines to speak: which lines there are, and what is wrong with each."""

import json
from pathlib import Path

from dialoom.generate.batch import BatchLine, read_lines


def _read(path: Path, content: str) -> list[tuple[int, str]]:
    """Number, and text or fault."""
    path.write_text(content, encoding="utf-8")
    return [
        (number, line.text if isinstance(line, BatchLine) else line)
        for number, line in read_lines(path)
    ]


def test_only_line_ends_end_a_line(tmp_path: Path) -> None:
    """Texts from web pages hold U+2028 and U+0085, which Python takes for ends of lines."""
    text = "Eins,\u2028zwei,\u0085drei."
    lines = [{"text": text, "out": "1.wav"}, {"text": "Vier.", "out": "2.wav"}]
    content = "\r\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    assert _read(tmp_path / "b.jsonl", content) == [(1, text), (2, "Vier.")]


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    content = "\ufeff" + json.dumps({"text": "Eins.", "out": "1.wav"})
    assert _read(tmp_path / "b.jsonl", content) == [(1, "Eins.")]


def test_no_line_writes_over_what_another_has_written(tmp_path: Path) -> None:
    lines = [
        {"text": "One.", "out": "a.wav"},
        {"text": "Two.", "out": "./a.wav"},
        {"text": "Three.", "out": "b.wav", "save_codes": "b.npy"},
        {"text": "Four.", "out": "c.wav", "save_codes": "b.npy"},
        {"text": "Five.", "out": "c.wav"},
    ]
    found = _read(tmp_path / "b.jsonl", "\n".join(map(json.dumps, lines)))
    assert found == [
        (1, "One."),
        (2, "writes a file that line 1 writes: name another"),
        (3, "Three."),
        (4, "writes a file that line 3 writes: name another"),
        (5, "Five."),
    ]


def test_what_python_cannot_parse_is_a_bad_line(tmp_path: Path) -> None:
    content = '{"text": "x", "out": "a.wav", "seed": ' + "9" * 5000 + "}\n" + "[" * 100_000
    faults = [fault for _, fault in _read(tmp_path / "b.jsonl", content)]
    assert all(fault.startswith("no valid JSON (") for fault in faults)
    assert len(faults) == 2
