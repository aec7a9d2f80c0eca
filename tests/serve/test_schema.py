"""What /openapi.json promises: it can be read by itself, and names every way to be refused."""

import json
import re
from typing import Any

import pytest
from served import small_synthesizer

from dialoom.serve import ServeSettings, create_app


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    models = {"one": small_synthesizer(), "two": small_synthesizer(1)}
    return create_app(models, ServeSettings(token="secret")).openapi()


def test_references_lead_somewhere(document: dict[str, Any]) -> None:
    references = set(re.findall(r'"\$ref": "([^"]+)"', json.dumps(document)))
    assert "#/components/schemas/VoiceId" in references
    for reference in references:
        place: Any = document
        for name in reference.removeprefix("#/").split("/"):
            place = place[name]


def test_speech_is_sound_and_models_are_named(document: dict[str, Any]) -> None:
    speech = document["paths"]["/v1/audio/speech"]["post"]
    assert {"audio/mpeg", "audio/wav", "text/event-stream"} <= set(
        speech["responses"]["200"]["content"]
    )
    body = document["components"]["schemas"]["SpeechBody"]
    assert body["properties"]["model"]["enum"] == ["one", "two"]


def test_every_refusal_is_told_and_every_route_but_health_asks_for_the_token(
    document: dict[str, Any],
) -> None:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert ("401" in operation["responses"]) == (path != "/health"), path
            assert ("security" in operation) == (path != "/health"), path
    for path in ("/v1/audio/speech", "/v1/voices"):
        answers = document["paths"][path]["post"]["responses"]
        assert {"400", "404", "408", "413", "422", "429", "503"} <= set(answers)
        assert "Retry-After" in answers["429"]["headers"]


def test_a_server_for_all_asks_for_no_token() -> None:
    app = create_app({"one": small_synthesizer()}, ServeSettings())
    assert "security" not in json.dumps(app.openapi())
