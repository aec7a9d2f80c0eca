"""Models side by side, as tables: a row for each model, the codec's ceiling below them."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from string import ascii_letters

from dialoom.evaluate.attempt import Attempt
from dialoom.evaluate.bootstrap import MIN_CLIPS, Estimate
from dialoom.evaluate.evaluation import Evaluation
from dialoom.evaluate.figures import SECTIONS, Figure, Figures, count_up
from dialoom.observe import ValidRecord

CEILING, RECORDINGS = "codec alone", "recordings"
TITLE_WIDTH = 30
NO_FIGURE = "–"

LOSS_TABLES: tuple[tuple[str, int, Callable[[ValidRecord], Sequence[float]]], ...] = (
    ("loss, nats", 3, lambda found: (found.loss, *found.loss_channels)),
    ("perplexity", 1, lambda found: tuple(map(math.exp, (found.loss, *found.loss_channels)))),
    (
        "accuracy, %",
        1,
        lambda found: _percent((fmean(found.accuracy_channels), *found.accuracy_channels)),
    ),
    (
        "end of clip recalled, %",
        1,
        lambda found: _percent((found.eos_recall, *found.eos_recall_channels)),
    ),
)
"""Teacher-forced: title, digits, and the figure over the channels, then of each."""


@dataclass(frozen=True)
class Comparison:
    """Figures of several models, and of what they are measured against.

    Attributes:
        titles: of the rows: models, "codec alone", and "recordings" where these are at hand.
        num_models: the first so many rows.
        plain: speech without a voice prompt.
        prompted: speech with one; None where none was asked for.
    """

    titles: Sequence[str]
    num_models: int
    plain: Figures
    prompted: Figures | None


def compare_speech(evaluations: Mapping[str, Evaluation]) -> Comparison:
    """All figures of the speech of models that spoke the same clips, by their titles."""
    first = next(iter(evaluations.values()))
    rows = {title: found.attempts for title, found in evaluations.items()}
    rows[CEILING] = first.ceiling
    if first.recordings:
        rows[RECORDINGS] = first.recordings

    def count(has_prompt: bool) -> Figures | None:
        chosen, (ceiling,) = (
            [_with_prompt(attempts, has_prompt) for attempts in sets]
            for sets in (rows.values(), [first.ceiling])
        )
        if not any(chosen):
            return None
        return count_up(chosen, num_compared=len(evaluations), ceiling=ceiling)

    plain = count(False)
    assert plain is not None, "every model speaks without a prompt"
    return Comparison(tuple(rows), len(evaluations), plain, count(True))


def _with_prompt(attempts: Sequence[Attempt], has_prompt: bool) -> list[Attempt]:
    return [attempt for attempt in attempts if (attempt.prompt_id is not None) == has_prompt]


def compare(evaluations: Mapping[str, Evaluation]) -> Iterator[str]:
    """Lines of tables.

    Args:
        evaluations: by the title of their row; all on the same clips.
    """
    yield from _loss_tables({title: found.loss for title, found in evaluations.items()})
    speech = compare_speech(evaluations)
    yield from _speech_tables(speech, speech.plain, "")
    if speech.prompted is not None:
        yield from _speech_tables(speech, speech.prompted, ", with a voice prompt")
    yield from _legend(speech)


def _loss_tables(losses: Mapping[str, ValidRecord]) -> Iterator[str]:
    channels = [str(channel) for channel in range(len(next(iter(losses.values())).loss_channels))]
    names = [_name(title, number) for number, title in enumerate(losses)]
    for title, digits, read in LOSS_TABLES:
        rows = [[f"{value:.{digits}f}" for value in read(record)] for record in losses.values()]
        yield from _table(f"{title}, by channel", ["mean", *channels], names, rows)


def _percent(shares: Sequence[float]) -> list[float]:
    return [100 * share for share in shares]


def _speech_tables(speech: Comparison, figures: Figures, suffix: str) -> Iterator[str]:
    names = [
        _name(title, number) if number < speech.num_models else _name(title)
        for number, title in enumerate(speech.titles)
    ]
    for title, section in SECTIONS.items():
        shown = [figure for figure in section if figures.has(figure)]
        if not shown:
            continue
        rows = [
            [_cell(figures, figure, row) for figure in shown] for row in range(len(speech.titles))
        ]
        yield from _table(title + suffix, [figure.title for figure in shown], names, rows)


def _cell(figures: Figures, figure: Figure, row: int) -> str:
    """The figure, its interval, and the letters of the models from which it certainly differs."""
    found: Estimate = figures.estimates[figure.key][row]
    if math.isnan(found.value):
        return NO_FIGURE
    letters = "".join(map(_letter, figures.certainly_other(figure, row)))
    value, low, high = (figure.show(number) for number in (found.value, found.low, found.high))
    return f"{value} [{low}, {high}]" + (f" {letters}" if letters else "")


def _legend(speech: Comparison) -> Iterator[str]:
    num_clips = speech.plain.num_clips
    yield f"[low, high]: 95 % confidence by the bootstrap over {num_clips} clips"
    yield f"nearest to its own of {num_clips} clips: {100 / num_clips:.1f} % by chance"
    if speech.num_models < 2:
        return
    if num_clips < MIN_CLIPS:
        yield f"of fewer than {MIN_CLIPS} clips no difference between models is certain"
    else:
        yield "a letter behind a figure: certainly (95 %, the same clips) other than that model's"


def _table(
    title: str, heads: Sequence[str], names: Sequence[str], rows: Sequence[Sequence[str]]
) -> Iterator[str]:
    """A blank line ends it."""
    columns = list(zip(heads, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    width = max(len(title), *map(len, names))
    for name, cells in [(title, heads), *zip(names, rows, strict=True)]:
        padded = (f"{cell:<{size}}" for cell, size in zip(cells, widths, strict=True))
        yield f"{name:<{width}}  {'  '.join(padded)}".rstrip()
    yield ""


def _name(title: str, number: int | None = None) -> str:
    """A row's letter and title; of a long path the end says more than the beginning."""
    shown = title if len(title) <= TITLE_WIDTH else f"…{title[1 - TITLE_WIDTH :]}"
    return f"   {shown}" if number is None else f"{_letter(number)}  {shown}"


def _letter(number: int) -> str:
    return ascii_letters[number] if number < len(ascii_letters) else f"({number})"
