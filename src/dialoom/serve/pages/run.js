// The page of a run in progress.

import { begin, element, make, request } from "/common.js";

const POLL_MS = 5000;
const QUIET_S = 120; // after which a run may have ended
const LEAST_WIDTH = 320;
const HEIGHT = 260;
const EDGE = { left: 52, right: 24, top: 12, bottom: 28 };

const shown = new Set(); // samples that are on the page
let run = null; // as the server told it last

async function refresh() {
  try {
    run = await (await request("/run/summary")).json();
    element("error").textContent = "";
    show();
  } catch (error) {
    element("error").textContent = error.message;
    element("status").textContent = "";
  }
}

function show() {
  element("now-title").textContent = `Run ${run.name}`;
  element("status").textContent =
    run.age_s > QUIET_S ? `nothing new for ${duration(run.age_s)}: it has ended, or stands still` : "in progress";
  const loss = run.train.at(-1)?.loss;
  const valid = run.valid.at(-1)?.loss;
  const figures = {
    Step: run.step,
    Epoch: run.epoch?.toFixed(2) ?? "–",
    "Training loss": loss?.toFixed(3) ?? "–",
    "Validation loss": valid?.toFixed(3) ?? "–",
    "Speech per second": run.speed === null ? "–" : `${run.speed.toFixed(1)} s`,
    "Time so far": duration(run.seconds),
    "Time left": run.seconds_left === null ? "–" : duration(run.seconds_left),
  };
  element("figures").replaceChildren(
    ...Object.entries(figures).map(([name, value]) =>
      make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: value })),
    ),
  );
  draw();
  showTable(run.valid);
  showSamples(run.samples);
  element("events").replaceChildren(
    ...run.events.map((event) => make("li", { textContent: `step ${event.step}: ${event.message}` })),
  );
}

function draw() {
  if (!run) return;
  element("loss").replaceChildren(chart("loss", "Loss over steps"));
  element("eos").replaceChildren(chart("eos", "Loss of the end over steps"));
}

function duration(seconds) {
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1) return `${Math.round(seconds)} s`;
  if (minutes < 60) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function svg(name, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function chart(key, title) {
  const points = [...run.train, ...run.valid].filter((point) => point[key] !== null);
  const last = points.at(-1);
  const label = last ? `${title}: now ${run.train.at(-1)?.[key]?.toFixed(3) ?? "unknown"}` : `${title}: no figures yet`;
  const width = Math.max(LEAST_WIDTH, element("loss").clientWidth);
  const picture = svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": label });
  if (!last) return picture;
  const steps = points.map((point) => point.step);
  const values = points.map((point) => point[key]);
  const across = scale(Math.min(...steps), Math.max(...steps), EDGE.left, width - EDGE.right);
  const down = scale(Math.min(0, ...values), Math.max(...values) * 1.05, HEIGHT - EDGE.bottom, EDGE.top);
  for (const value of ticks(down.low, down.high)) {
    picture.append(
      svg("line", { class: "grid", x1: EDGE.left, x2: width - EDGE.right, y1: down(value), y2: down(value) }),
      svg("text", { x: EDGE.left - 8, y: down(value) + 4, "text-anchor": "end" }, `${value}`),
    );
  }
  for (const step of ticks(across.low, across.high)) {
    picture.append(svg("text", { x: across(step), y: HEIGHT - 8, "text-anchor": "middle" }, `${step}`));
  }
  for (const kind of ["train", "valid"]) {
    const path = run[kind].filter((point) => point[key] !== null).map((point) => `${across(point.step).toFixed(1)},${down(point[key]).toFixed(1)}`);
    picture.append(svg("polyline", { class: kind, points: path.join(" ") }));
  }
  return picture;
}

function scale(low, high, from, to) {
  const span = high - low || 1;
  return Object.assign((value) => from + ((value - low) / span) * (to - from), { low, high });
}

/** About five round numbers. */
function ticks(low, high) {
  const rough = (high - low || 1) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((s) => s >= rough);
  const found = [];
  for (let n = Math.ceil(low / step); n * step <= high; n++) found.push(Number((n * step).toPrecision(6)));
  return found;
}

function showTable(valid) {
  const head = make("tr", {}, ...["Step", "Loss", "Of the end"].map((name) => make("th", { scope: "col", textContent: name })));
  const rows = valid.slice(-20).reverse().map((point) =>
    make("tr", {}, ...[point.step, point.loss?.toFixed(3), point.eos?.toFixed(3)].map((value) => make("td", { textContent: value ?? "–" }))),
  );
  element("table").replaceChildren(make("thead", {}, head), make("tbody", {}, ...rows));
}

function showSamples(samples) {
  for (const sample of [...samples].reverse()) {
    if (shown.has(sample.index)) continue;
    shown.add(sample.index);
    element("samples").prepend(sampleItem(sample));
  }
}

/** Sound and picture come when somebody opens them: with the token, which <audio> cannot send. */
function sampleItem(sample) {
  const name = `${sample.name}, step ${sample.step}`;
  const open = make("button", { type: "button", textContent: "Listen", ariaLabel: `Listen to ${name}` });
  const actions = make("div", { className: "actions" }, open);
  const item = make(
    "li",
    { className: "take" },
    make("p", {}, make("strong", { textContent: name }), sample.stopped ? "" : " · ended by the limit"),
    make("p", { textContent: sample.text }),
    actions,
  );
  open.addEventListener("click", async () => {
    try {
      const [picture, sound] = await Promise.all(
        ["picture", "sound"].map(async (kind) =>
          URL.createObjectURL(await (await request(`/run/samples/${sample.index}/${kind}`)).blob()),
        ),
      );
      const player = make("audio", { controls: true, src: sound, ariaLabel: name });
      actions.before(make("img", { className: "picture", src: picture, alt: `Spectrogram of ${name}` }));
      actions.replaceChildren(player);
      player.focus();
      await player.play().catch(() => undefined);
    } catch (error) {
      element("error").textContent = error.message;
    }
  });
  return item;
}

new ResizeObserver(draw).observe(element("loss"));
let polling = null;
begin(() => {
  polling ??= setInterval(refresh, POLL_MS);
  refresh();
});
