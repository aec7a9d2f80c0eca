// The page to try voices on.

import { begin, element, make, request } from "/common.js";
import { PcmReader, Player, RATE, Spectrogram, wavBlob } from "/sound.js";

let running = null;
let numTakes = 0;

async function load() {
  try {
    const models = (await (await request("/v1/models")).json()).data;
    element("model").replaceChildren(...models.map((m) => new Option(m.id, m.id)));
    await loadVoices("default");
  } catch (error) {
    element("error").textContent = error.message;
  }
}

async function loadVoices(chosen) {
  const voices = (await (await request("/v1/voices")).json()).data;
  const options = voices.map((voice) => {
    const option = new Option(voice.name, voice.id, false, voice.id === chosen);
    option.dataset.uploaded = voice.uploaded;
    return option;
  });
  element("voice").replaceChildren(...options);
  showRemovable();
}

function showRemovable() {
  const chosen = element("voice").selectedOptions[0];
  element("remove").disabled = chosen?.dataset.uploaded !== "true";
}

function order() {
  const wish = {
    model: element("model").value,
    voice: element("voice").value,
    input: element("text").value,
    response_format: "pcm",
    stream: true,
  };
  const numbers = { seed: "seed", temperature: "temperature", guidance: "cfg_scale", longest: "max_seconds" };
  for (const [id, key] of Object.entries(numbers)) {
    if (element(id).value !== "") wish[key] = Number(element(id).value);
  }
  if (element("language").value) wish.language = element("language").value;
  return wish;
}

async function speak() {
  if (running) return;
  running = new AbortController();
  const wish = order();
  const player = new Player();
  const spectrogram = new Spectrogram(element("live"));
  const reader = new PcmReader();
  const pieces = [];
  show(true, "waiting …");
  try {
    const answer = await request("/v1/audio/speech", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(wish),
      signal: running.signal,
    });
    const body = answer.body.getReader();
    let count = 0;
    for (let part = await body.read(); !part.done; part = await body.read()) {
      const samples = reader.push(part.value);
      if (!samples.length) continue;
      pieces.push(samples);
      player.push(samples);
      spectrogram.push(samples);
      count += samples.length;
      element("status").textContent = `${(count / RATE).toFixed(1)} s`;
    }
    player.finish();
    keep(wish, pieces);
    show(false, `${(count / RATE).toFixed(1)} s, kept below`);
  } catch (error) {
    player.stop();
    const isStopped = error.name === "AbortError";
    show(false, isStopped ? "stopped" : "");
    if (!isStopped) element("error").textContent = error.message;
  } finally {
    running = null;
  }
}

function show(isSpeaking, status) {
  element("error").textContent = "";
  element("speak").disabled = isSpeaking;
  element("stop").disabled = !isSpeaking;
  element("status").textContent = status;
}

function keep(wish, pieces) {
  numTakes += 1;
  const name = `Take ${numTakes}`;
  const address = URL.createObjectURL(wavBlob(pieces));
  const canvas = make("canvas", { role: "img", ariaLabel: `Spectrogram of ${name}` });
  const voice = element("voice").selectedOptions[0].text;
  const remove = make("button", { type: "button", textContent: "Remove", ariaLabel: `Remove ${name}` });
  const take = make(
    "li",
    { className: "take" },
    make("p", {}, make("strong", { textContent: name }), ` · ${wish.model} · ${voice} · seed ${wish.seed ?? 0}`),
    make("p", { textContent: wish.input }),
    canvas,
    make(
      "div",
      { className: "actions" },
      make("audio", { controls: true, src: address, ariaLabel: name }),
      make("a", { className: "button", href: address, download: `take-${numTakes}.wav`, textContent: "Download", ariaLabel: `Download ${name}` }),
      remove,
    ),
  );
  remove.addEventListener("click", () => {
    URL.revokeObjectURL(address);
    take.remove();
    element("no-takes").hidden = element("takes").children.length > 0;
    element("speak").focus();
  });
  const drawn = new Spectrogram(canvas);
  pieces.forEach((piece) => drawn.push(piece));
  element("takes").prepend(take);
  element("no-takes").hidden = true;
}

async function addVoice() {
  const form = new FormData();
  form.append("file", element("clip").files[0]);
  form.append("name", element("name").value);
  form.append("text", element("transcript").value);
  form.append("model", element("model").value);
  element("add-error").textContent = "";
  element("upload").disabled = true;
  element("add-status").textContent = "listening to it …";
  try {
    const voice = await (await request("/v1/voices", { method: "POST", body: form })).json();
    await loadVoices(voice.id);
    element("add").reset();
    element("add-status").textContent = `${voice.name} is there, and chosen`;
  } catch (error) {
    element("add-status").textContent = "";
    element("add-error").textContent = error.message;
  } finally {
    element("upload").disabled = false;
  }
}

async function removeVoice() {
  const chosen = element("voice").selectedOptions[0];
  try {
    await request(`/v1/voices/${encodeURIComponent(chosen.value)}`, { method: "DELETE" });
    element("add-status").textContent = `${chosen.text} is removed`;
    await loadVoices("default");
  } catch (error) {
    element("add-error").textContent = error.message;
  }
}

function onSubmit(id, action) {
  element(id).addEventListener("submit", (event) => {
    event.preventDefault();
    action();
  });
}

onSubmit("say", speak);
onSubmit("add", addVoice);
element("stop").addEventListener("click", () => running?.abort());
element("remove").addEventListener("click", removeVoice);
element("voice").addEventListener("change", showRemovable);
element("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) element("say").requestSubmit();
});
new Spectrogram(element("live"));
begin(load);
