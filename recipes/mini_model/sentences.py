"""What the voices of the base model say: lines of a text file in short pieces, and own sentences.

The own ones are made by two small grammars, English and German: clauses of a subject, a verb and
the rest, put together as statements, questions and subordinate clauses. They hold everyday speech,
which books lack: greetings, questions, requests.
"""

import random
import re
from collections.abc import Iterator

MIN_CHARACTERS = 14
MAX_CHARACTERS = 80
"""About five seconds of speech."""

READABLE = re.compile(r"[A-Za-z][A-Za-z ,;:.?!'-]*[A-Za-z][.?!]")
BREAK = re.compile(r"(?<=[,;:])\s+|(?<=[a-z]{3}[.?!])\s+(?=[A-Z])")
"""After a comma or the like, and between sentences (not after "Mr.")."""


def pieces(line: str) -> Iterator[str]:
    """A line as one or more pieces that can be said in a breath; what is not plain is left out."""
    line = line.replace(" -- ", ", ").replace('"', "").replace(", end quote", "")
    held = ""
    for part in BREAK.split(line):
        if held and len(held) + 1 + len(part) > MAX_CHARACTERS:
            yield from _finished(held)
            held = ""
        held = f"{held} {part}".strip()
    yield from _finished(held)


def key(sentence: str) -> str:
    """What a sentence is compared by: its words alone."""
    return " ".join(re.findall(r"\w+", sentence.lower()))


def _finished(piece: str) -> Iterator[str]:
    """The piece with a capital and a full stop, if it can be used."""
    piece = piece.strip(" ,;:-")
    piece = piece[:1].upper() + piece[1:] + ("" if piece.endswith((".", "?", "!")) else ".")
    if MIN_CHARACTERS <= len(piece) <= MAX_CHARACTERS and READABLE.fullmatch(piece):
        yield piece


def say_english(rng: random.Random) -> str:
    """One sentence of everyday English."""
    if rng.random() < 0.25:
        return rng.choice(ENGLISH_PHRASES)
    who, when, where = (rng.choice(words) for words in (EN_WHO, EN_WHEN, EN_WHERE))
    base, third = rng.choice(EN_DOES).split("|")
    verb, rest = _verb_and_rest(base)
    third = f"{third} {rest}".strip()
    return _capital(
        rng.choice(
            (
                f"{who} {third} {when}.",
                f"{when}, {who} {third}.",
                f"{who} {third} {where}.",
                f"does {who} {verb} {rest} {when}?",
                f"why does {who} {verb} {rest} {where}?",
                f"could you {verb} {rest} {when}, please?",
                f"I would like to {verb} {rest} {where}.",
                f"we should {verb} {rest} {when}, don't you think?",
                f"{who} never {third} when it rains!",
                f"please {verb} {rest} {when}.",
            )
        )
    )


def say_german(rng: random.Random) -> str:
    """One sentence of everyday German; the finite verb stands second, or last in a clause."""
    if rng.random() < 0.2:
        return rng.choice(GERMAN_PHRASES)
    who, other, when, where = (rng.choice(w) for w in (DE_WHO, DE_WHO, DE_WHEN, DE_WHERE))
    verb, rest = _verb_and_rest(rng.choice(DE_DOES))
    late, late_rest = _verb_and_rest(rng.choice(DE_DOES))
    return _capital(
        rng.choice(
            (
                f"{who} {verb} {when} {rest}.",
                f"{when} {verb} {who} {rest}.",
                f"{where} {verb} {who} {rest}.",
                f"{who} {verb} {where} {rest}.",
                f"{verb} {who} {when} {rest}?",
                f"warum {verb} {who} {when} {rest}?",
                f"ich glaube, dass {who} {when} {rest} {verb}.",
                f"{who} {verb} {rest}, weil {other} {late_rest} {late}.",
                f"wenn {who} {rest} {verb}, {late} {other} {late_rest}.",
                f"weißt du, ob {who} {where} {rest} {verb}?",
            )
        )
    )


def _verb_and_rest(clause: str) -> tuple[str, str]:
    verb, _, rest = clause.partition(" ")
    return verb, rest


def _capital(sentence: str) -> str:
    sentence = " ".join(sentence.split()).replace(" ,", ",").replace(" .", ".").replace(" ?", "?")
    return sentence[0].upper() + sentence[1:]


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.replace("\n", " ").split("/"))


EN_WHO = _words(
    """my brother / the old woman / our teacher / the doctor / his daughter / the neighbour /
    the captain / your friend / the young man / the baker / Alice / Peter / Maria / the painter /
    the whole family / the boy next door / her uncle / the engineer / the cat / the singer /
    this little girl / somebody / the farmer / Doctor Brown / Mister Green / the postman"""
)
EN_DOES = _words(
    """open the window|opens / read the newspaper|reads / buy fresh bread|buys /
    sing an old song|sings / bring three cups of tea|brings / paint the wooden fence|paints /
    wait for the bus|waits / write a long letter|writes / close the garden gate|closes /
    play the piano|plays / look for the keys|looks / tell a funny story|tells /
    cook soup with onions|cooks / watch the clouds|watches / carry the heavy box|carries /
    think about the journey|thinks / feed the chickens|feeds / visit the museum|visits /
    call the police|calls / learn nine new words|learns / wash the blue shirt|washes /
    repair the broken clock|repairs / draw a yellow house|draws / choose the right colour|chooses /
    drive to the village|drives / ask five easy questions|asks / swim across the lake|swims /
    pay for the tickets|pays / drink a glass of juice|drinks / enjoy the quiet evening|enjoys"""
)
EN_WHEN = _words(
    """today / every morning / in the evening / on Sunday / after lunch / before the show /
    at half past seven / once a week / tonight / this afternoon / in spring / at the weekend /
    in twenty minutes / right now / as usual / every second Thursday / later / in January"""
)
EN_WHERE = _words(
    """in the kitchen / behind the church / near the river / at the station / under the bridge /
    in front of the school / by the sea / on the third floor / in the north of the country /
    between two tall trees / across the street / at home / over there / in town / upstairs"""
)
ENGLISH_PHRASES = _words(
    """Hello, how are you today? / Good morning, everyone! / Good evening, and welcome back. /
    Thank you very much for your help. / I am sorry, I did not hear you. / What time is it now? /
    Where are you going? / See you tomorrow, then. / Yes, of course. / No, I don't think so. /
    That is a very good idea. / Could you say that again, please? / It was nice to meet you. /
    What is your name? / My name is on the door. / Are you ready? / Not yet, give me a minute. /
    How much does it cost? / Never mind, it does not matter. / Have you ever been there before? /
    I have no idea what you mean. / Look, it is snowing outside! / Be careful, the floor is wet. /
    This is the voice of a small machine. / Happy birthday to you! / Who is that at the door? /
    One, two, three, four, five. / Six, seven, eight, nine, ten. / Let us go home now. /
    The quick brown fox jumps over the lazy dog. / She sells sea shells by the sea shore. /
    How do you do? / It is getting late. / I can hear you very well. / Is this seat free? /
    What a beautiful day! / Just a moment, please. / I would rather stay here. / Why not? /
    You are quite right about that. / We have plenty of time. / Everything is going to be fine."""
)

DE_WHO = _words(
    """mein Bruder / die alte Frau / unser Lehrer / die Ärztin / seine Tochter / der Nachbar /
    der Kapitän / deine Freundin / der junge Mann / die Bäckerin / Jürgen / Sophie / Matthias /
    die Malerin / die ganze Familie / das Mädchen von nebenan / ihr Onkel / der Ingenieur /
    die Katze / der Sänger / meine Großmutter / jemand / der Bauer / Frau Schröder / Herr Köhler /
    der Briefträger / niemand / das kleine Kind / der Gärtner / die Königin"""
)
DE_DOES = _words(
    """öffnet das Fenster / liest die Zeitung / kauft frisches Brot / singt ein altes Lied /
    bringt drei Tassen Tee / streicht den Zaun / wartet auf den Bus / schreibt einen langen Brief /
    schließt das Gartentor / spielt Klavier / sucht die Schlüssel / erzählt eine Geschichte /
    kocht Suppe mit Zwiebeln / beobachtet die Wolken / trägt die schwere Kiste /
    denkt an die Reise / füttert die Hühner / besucht das Museum / ruft die Polizei /
    lernt neun neue Wörter / wäscht das blaue Hemd / repariert die Uhr / zeichnet ein gelbes Haus /
    wählt die richtige Farbe / fährt ins Dorf / stellt fünf leichte Fragen / schwimmt im See /
    bezahlt die Karten / trinkt ein Glas Saft / genießt die Ruhe / pflückt süße Kirschen /
    backt einen Kuchen mit Äpfeln / hört Musik / übt das Sprechen / zählt bis zwölf /
    findet einen Pfennig / verkauft warme Jacken / möchte schlafen / macht keine Pause"""
)
DE_WHEN = _words(
    """heute / jeden Morgen / am Abend / am Sonntag / nach dem Essen / vor der Schule /
    um halb acht / einmal in der Woche / heute Nacht / im Frühling / am Wochenende /
    in zwanzig Minuten / gerade jetzt / wie immer / jeden zweiten Donnerstag / später / im Juli /
    übermorgen / manchmal / seit gestern / plötzlich"""
)
DE_WHERE = _words(
    """in der Küche / hinter der Kirche / am Fluss / am Bahnhof / unter der Brücke / vor dem Haus /
    an der Nordsee / im dritten Stock / in München / zwischen zwei Bäumen / auf der Straße /
    zu Hause / dort drüben / in der Stadt / oben / im Wald / auf dem Markt / neben dem Rathaus"""
)
GERMAN_PHRASES = _words(
    """Hallo, wie geht es dir? / Guten Morgen zusammen! / Guten Abend und herzlich willkommen. /
    Vielen Dank für deine Hilfe. / Entschuldigung, ich habe Sie nicht verstanden. /
    Wie spät ist es? / Wohin gehst du? / Bis morgen, mach es gut. / Ja, natürlich. /
    Nein, das glaube ich nicht. / Das ist eine sehr gute Idee. / Wie bitte? / Wie heißt du? /
    Könnten Sie das noch einmal sagen? / Bist du fertig? / Noch nicht, einen Augenblick bitte. /
    Was kostet das? / Das macht nichts. / Waren Sie schon einmal hier? / Es wird langsam spät. /
    Schau, draußen schneit es! / Vorsicht, der Boden ist nass. / Herzlichen Glückwunsch! /
    Eins, zwei, drei, vier, fünf. / Sechs, sieben, acht, neun, zehn. / Gehen wir nach Hause. /
    Das ist die Stimme einer kleinen Maschine. / Wer ist da an der Tür? / Ist hier noch frei? /
    Was für ein schöner Tag! / Da hast du völlig recht. / Wir haben noch viel Zeit. /
    Fischers Fritz fischt frische Fische. / Ich höre dich sehr gut. / Alles wird gut."""
)
