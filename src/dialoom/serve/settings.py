"""What a server allows."""

from dataclasses import dataclass, fields
from pathlib import Path

from dialoom.errors import UserError


@dataclass(frozen=True)
class ServeSettings:
    """Limits, and what is served beside the models.

    Attributes:
        token: clients send it as `Authorization: Bearer …`; None for no check.
        voices: a directory of voice files, offered by their names; None for none.
        run_dir: a run to show at /run; None for none.
        max_rows: texts that a model speaks at once.
        max_waiting: requests beyond these that may wait; more are refused with 429.
        max_text_chars: of one request.
        max_body_bytes: of one request; more is refused with 413.
        max_voice_s: of an uploaded clip.
        max_uploads: voices kept; the one unused for longest makes room.
        body_timeout_s: for a request's body to arrive; then 408.
        speak_timeout_s: for a request to be spoken, waiting included; then 503.
        shutdown_s: for running requests to finish when the server is told to stop.
    """

    token: str | None = None
    voices: Path | None = None
    run_dir: Path | None = None
    max_rows: int = 16
    max_waiting: int = 64
    max_text_chars: int = 4096
    max_body_bytes: int = 16 * 2**20
    max_voice_s: float = 30.0
    max_uploads: int = 32
    body_timeout_s: float = 30.0
    speak_timeout_s: float = 300.0
    shutdown_s: float = 300.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float) and not 0 < value < float("inf"):
                raise UserError(f"{field.name} is {value}: it must be more than 0, and finite")
        if self.token is not None and not self.token.strip():
            raise UserError("the token is empty: give one of 16 letters or more, or none")
        if self.voices is not None and not self.voices.is_dir():
            raise UserError(f"--voices {self.voices}: there is no such directory")
        if self.run_dir is not None and not self.run_dir.is_dir():
            raise UserError(f"--run {self.run_dir}: there is no such directory")
