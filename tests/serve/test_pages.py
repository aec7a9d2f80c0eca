"""The pages in a real Chromium: by keyboard, by eye and by axe's rules."""

import io
import math
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import soundfile
from fake_speech import fake_sentence
from served import served, small_synthesizer

from dialoom.audio import write_audio
from dialoom.generate.decode import Decoding
from dialoom.observe import METRICS_FILE, EventRecord, MetricsLog, SampleRecord, TrainRecord
from dialoom.serve import ServeSettings, create_app

playwright = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")

PATIENCE_S = 60  # on a machine that does other work
TOKEN = "a-token-of-some-length"
LOOKS = [(width, scheme) for width in (360, 1280) for scheme in ("light", "dark")]
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
FOCUSED = """() => {
  const at = document.activeElement;
  const name = at.id || at.getAttribute("aria-label") || at.textContent;
  return [name, getComputedStyle(at).outlineStyle !== "none"];
}"""
COUNT_SOUNDS = """
  window.sounds = 0;
  const start = AudioBufferSourceNode.prototype.start;
  AudioBufferSourceNode.prototype.start = function (...when) {
    window.sounds += 1;
    return start.apply(this, when);
  };
"""
IS_DRAWN = """canvas => {
  const bytes = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  return bytes.some((value, i) => i % 4 === 0 && value > 100);
}"""


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "german"
    (run / "samples").mkdir(parents=True)
    write_audio(run / "samples" / "a.wav", fake_sentence(1, num_sounds=5))
    with MetricsLog(run / METRICS_FILE, resume_step=None) as log:
        log.write(EventRecord(0, "start"))
        for step in range(1, 101):
            log.write(record(step))
        for step in (0, 100):
            log.write(SampleRecord(step, "one", "[S1] Hi.", "samples/a.wav", 40, stopped=step > 0))
    return run


def record(step: int) -> TrainRecord:
    loss = 3 + 4 * math.exp(-step / 30)
    return TrainRecord(
        step, step / 10, loss, (loss,) * 9, (0.1,) * 9, loss / 2, 0.5, 1e-4, 1.0, 20.0, 40.0, 7200.0
    )


@pytest.fixture(scope="module")
def url(run_dir: Path) -> Iterator[str]:
    with served(create_app({"one": small_synthesizer()}, ServeSettings(run_dir=run_dir))) as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--mute-audio"]
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser: playwright.Browser) -> Iterator[playwright.Page]:
    """A page of its own, that must not complain."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE_S * 1000)
    page, complaints = context.new_page(), Complaints()
    page.on("console", lambda message: complaints.hear(message.type, message.text))
    page.on("pageerror", lambda error: complaints.hear("error", str(error)))
    page.add_init_script(COUNT_SOUNDS)
    yield page
    context.close()
    assert complaints.heard == []


@dataclass
class Complaints:
    heard: list[str] = field(default_factory=list)

    def hear(self, kind: str, text: str) -> None:
        is_answer = "the server responded with a status of 4" in text  # of the API, shown in words
        if kind in ("error", "warning") and not is_answer:
            self.heard.append(text)


def until(page: playwright.Page, holds: str, also: Callable[[], bool] = lambda: True) -> None:
    """Asked from outside: the page itself may not evaluate strings."""
    end = time.monotonic() + PATIENCE_S
    while not (page.evaluate(holds) and also()):
        assert time.monotonic() < end, holds
        time.sleep(0.05)


def press(page: playwright.Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def tab_to(page: playwright.Page, wanted: str, *, back: bool = False) -> list[str]:
    """What the focus passes on its way, seen at each stop."""
    passed: list[str] = []
    while not passed or passed[-1] != wanted:
        press(page, "Shift+Tab" if back else "Tab")
        name, is_seen = page.evaluate(FOCUSED)
        assert is_seen, f"the focus on {name} is not seen"
        passed.append(name)
        assert len(passed) < 40, passed
    return passed


def check_looks(page: playwright.Page, looks: Sequence[tuple[int, str]] = LOOKS) -> None:
    for width, scheme in looks:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        found = axe.Axe().run(page, options=RULES).response["violations"]
        assert [(each["id"], each["nodes"][0]["html"]) for each in found] == [], (width, scheme)
        across = page.evaluate("document.documentElement.scrollWidth")
        assert across <= width, f"scrolls sideways at {width}"


def clip() -> bytes:
    sound, file = fake_sentence(1, num_sounds=3), io.BytesIO()
    soundfile.write(file, sound.samples, sound.sample_rate_hz, format="WAV")
    return file.getvalue()


def test_a_dialogue_is_spoken_and_kept_by_keyboard_alone(page: playwright.Page, url: str) -> None:
    page.goto(url)
    page.wait_for_selector("#voice option", state="attached")
    assert tab_to(page, "text") == ["Speak", "Run", "text"]
    press(page, "Control+A")
    page.keyboard.type("[S1] One. [S2] Two.")
    assert tab_to(page, "longest") == [
        "model", "voice", "seed", "temperature", "guidance", "longest",
    ]  # fmt: skip
    page.keyboard.type("0.4")
    assert tab_to(page, "speak") == ["language", "speak"]
    press(page, "Enter")
    page.wait_for_selector(".take")
    assert "[S1] One. [S2] Two." in page.inner_text(".take")
    assert page.evaluate("sounds") > 0
    for canvas in ("#live", ".take canvas"):
        assert page.eval_on_selector(canvas, IS_DRAWN)
    length_s = page.eval_on_selector(
        ".take audio", "sound => new Promise(then => { const told = () => then(sound.duration);"
        "sound.readyState ? told() : sound.addEventListener('loadedmetadata', told) })"
    )  # fmt: skip
    assert length_s == pytest.approx(0.4, abs=0.1)
    passed = tab_to(page, "Remove Take 1")
    assert passed[:4] == ["clip", "name", "transcript", "upload"]
    assert passed[-3:] == ["Take 1", "Download Take 1", "Remove Take 1"]
    with page.expect_download() as download:
        tab_to(page, "Download Take 1", back=True)
        press(page, "Enter")
    assert download.value.suggested_filename == "take-1.wav"
    assert soundfile.info(download.value.path()).duration == pytest.approx(length_s)
    tab_to(page, "Remove Take 1")
    press(page, "Space")
    page.wait_for_selector(".take", state="detached")
    assert page.evaluate(FOCUSED)[0] == "speak"


def test_it_is_heard_and_seen_while_it_is_made_and_can_be_stopped(
    page: playwright.Page, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    advance, gate = Decoding.advance, threading.Event()

    def held(self: Decoding) -> None:
        if self.num_steps > 60:
            gate.wait(20)
        advance(self)

    monkeypatch.setattr(Decoding, "advance", held)
    page.goto(url)
    page.wait_for_selector("#voice option", state="attached")
    page.fill("#longest", "3")
    page.focus("#text")
    press(page, "Control+Enter")
    until(page, "sounds > 0")
    assert page.eval_on_selector("#live", IS_DRAWN)
    assert page.is_disabled("#speak")
    page.focus("#stop")
    press(page, "Space")
    until(page, "document.getElementById('status').textContent === 'stopped'")
    assert page.query_selector(".take") is None
    assert page.is_enabled("#speak")
    gate.set()


def test_a_voice_is_sent_chosen_and_removed_by_keyboard(page: playwright.Page, url: str) -> None:
    page.goto(url)
    page.wait_for_selector("#voice option", state="attached")
    choosers: list[playwright.FileChooser] = []
    page.on("filechooser", lambda chooser: choosers.append(chooser))
    tab_to(page, "clip")
    press(page, "Space")
    until(page, "true", lambda: bool(choosers))
    choosers[0].set_files({"name": "me.wav", "mimeType": "audio/wav", "buffer": clip()})
    tab_to(page, "name")
    page.keyboard.type("Me & <b>")
    tab_to(page, "transcript")
    page.keyboard.type("[S1] Ah.")
    tab_to(page, "upload")
    press(page, "Enter")
    until(page, "document.getElementById('add-status').textContent.includes('chosen')")
    assert page.inner_text("#voice option:checked") == "Me & <b>"
    page.fill("#longest", "0.2")
    page.click("#speak")
    page.wait_for_selector(".take")
    assert "Me & <b>" in page.inner_text(".take")
    page.focus("#remove")
    press(page, "Space")
    until(page, "document.getElementById('voice').value === 'default'")


def test_refusals_are_told_in_words(page: playwright.Page, url: str) -> None:
    page.goto(url)
    page.wait_for_selector("#voice option", state="attached")
    page.fill("#text", "[S9] Hi.")
    page.click("#speak")
    until(page, "document.getElementById('error').textContent !== ''")
    assert "the model has no speaker" in page.inner_text("#error")
    assert page.is_enabled("#speak")


def test_the_token_is_asked_for(page: playwright.Page) -> None:
    app = create_app({"one": small_synthesizer()}, ServeSettings(token=TOKEN))
    with served(app) as url:
        page.goto(url)
        page.wait_for_selector("#key")
        check_looks(page, LOOKS[:1])
        for token in ("wrong", TOKEN):
            page.fill("#token", token)
            page.focus("#token")
            press(page, "Enter")
            page.wait_for_selector("#key", state="hidden" if token == TOKEN else "visible")
        page.wait_for_selector("#voice option", state="attached")
        assert not page.is_visible("#key")


def test_the_speaking_page_is_accessible(page: playwright.Page, url: str) -> None:
    page.goto(url)
    page.wait_for_selector("#voice option", state="attached")
    page.fill("#longest", "0.2")
    page.click("#speak")
    page.wait_for_selector(".take")
    assert page.locator(".take").count() == 1
    check_looks(page)


def test_a_run_is_watched_and_heard_by_keyboard(
    page: playwright.Page, url: str, run_dir: Path
) -> None:
    page.clock.install()
    page.goto(f"{url}/run")
    page.wait_for_selector("#loss polyline.train", state="attached")
    figures = page.inner_text("#figures")
    assert "2 h 0 min" in figures and "40.0 s" in figures
    points = page.get_attribute("#loss polyline.train", "points")
    assert points is not None and points.count(",") == 100
    tab_to(page, "Listen to one, step 100")
    press(page, "Enter")
    page.wait_for_selector(".take img")
    assert page.evaluate(FOCUSED)[0] == "one, step 100"
    assert page.eval_on_selector(".take img", "picture => picture.decode().then(() => true)")
    until(page, "document.querySelector('.take audio').currentTime > 0.1")
    with (run_dir / METRICS_FILE).open("a", encoding="utf-8") as file:
        scratch = run_dir / "more.jsonl"
        with MetricsLog(scratch, resume_step=None) as log:
            log.write(record(101))
        file.write(scratch.read_text(encoding="utf-8"))
    page.clock.fast_forward(6000)
    until(page, "document.getElementById('figures').textContent.includes('101')")
    assert page.query_selector(".take audio") is not None
    check_looks(page)
    page.set_viewport_size({"width": 360, "height": 900})
    until(page, "document.querySelector('#loss svg').viewBox.baseVal.width === 320")
