// Samples as they arrive: heard at once, drawn as a spectrogram, kept as a WAV.

export const RATE = 24000; // of the API's "pcm"
const SIZE = 512; // 21 ms
const HOP = 240; // 10 ms
const TOP_HZ = 8000;
const RANGE_DB = 80;

/** Plays pieces one behind the other; a piece that comes late begins when it comes. */
export class Player {
  constructor() {
    this.context = new AudioContext({ sampleRate: RATE });
    this.end = 0;
  }

  push(samples) {
    const buffer = this.context.createBuffer(1, samples.length, RATE);
    buffer.copyToChannel(samples, 0);
    const source = this.context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.context.destination);
    this.end = Math.max(this.end, this.context.currentTime + 0.05);
    source.start(this.end);
    this.end += buffer.duration;
  }

  /** After what was pushed is heard. */
  finish() {
    setTimeout(() => this.stop(), Math.max(0, this.end - this.context.currentTime) * 1000 + 200);
  }

  stop() {
    if (this.context.state !== "closed") this.context.close();
  }
}

/** 16-bit little-endian bytes, cut anywhere, as floats. */
export class PcmReader {
  constructor() {
    this.rest = new Uint8Array(0);
  }

  push(bytes) {
    const all = new Uint8Array(this.rest.length + bytes.length);
    all.set(this.rest);
    all.set(bytes, this.rest.length);
    const count = all.length >> 1;
    this.rest = all.slice(2 * count);
    const view = new DataView(all.buffer);
    return Float32Array.from({ length: count }, (_, i) => view.getInt16(2 * i, true) / 32768);
  }
}

/** Draws 10 ms a column; makes room by squeezing when the canvas is full. */
export class Spectrogram {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.columns = [];
    this.tail = new Float32Array(0);
    this.draw();
  }

  push(samples) {
    const all = new Float32Array(this.tail.length + samples.length);
    all.set(this.tail);
    all.set(samples, this.tail.length);
    let start = 0;
    for (; start + SIZE <= all.length; start += HOP) {
      this.columns.push(levels(all.subarray(start, start + SIZE)));
    }
    this.tail = all.slice(start);
    this.draw();
  }

  draw() {
    const bands = Math.round((TOP_HZ / RATE) * SIZE);
    const width = Math.max(this.columns.length, 300);
    const image = new ImageData(width, bands);
    for (let x = 0; x < width; x++) {
      for (let band = 0; band < bands; band++) {
        const level = x < this.columns.length ? this.columns[x][band] : 0;
        image.data.set(color(level), 4 * ((bands - 1 - band) * width + x));
      }
    }
    this.canvas.width = width;
    this.canvas.height = bands;
    this.context.putImageData(image, 0, 0);
  }
}

const WINDOW = Float32Array.from({ length: SIZE }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / SIZE));

/** 0 … 1 for each band: decibels below full scale. */
function levels(samples) {
  const real = samples.map((sample, i) => sample * WINDOW[i]);
  const imaginary = new Float32Array(SIZE);
  transform(real, imaginary);
  return real.map((re, i) => {
    const decibels = 20 * Math.log10(Math.hypot(re, imaginary[i]) / (SIZE / 4) + 1e-9);
    return Math.min(1, Math.max(0, 1 + decibels / RANGE_DB));
  });
}

/** Fast Fourier transform in place, radix 2 (Cooley and Tukey, 1965). */
function transform(real, imaginary) {
  const n = real.length;
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) [real[i], real[j]] = [real[j], real[i]];
  }
  for (let length = 2; length <= n; length *= 2) {
    for (let start = 0; start < n; start += length) {
      for (let k = 0; k < length / 2; k++) {
        const angle = (-2 * Math.PI * k) / length;
        const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
        const [a, b] = [start + k, start + k + length / 2];
        const re = real[b] * cos - imaginary[b] * sin;
        const im = real[b] * sin + imaginary[b] * cos;
        [real[b], imaginary[b]] = [real[a] - re, imaginary[a] - im];
        real[a] += re;
        imaginary[a] += im;
      }
    }
  }
}

/** Black, violet, orange, pale yellow. */
const STOPS = [[0, 0, 4], [81, 18, 124], [183, 55, 121], [252, 137, 97], [252, 253, 191]];

function color(level) {
  const place = level * (STOPS.length - 1);
  const low = Math.min(STOPS.length - 2, Math.floor(place));
  return [...STOPS[low].map((c, i) => c + (STOPS[low + 1][i] - c) * (place - low)), 255];
}

export function wavBlob(pieces) {
  const count = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const view = new DataView(new ArrayBuffer(44 + 2 * count));
  const ascii = (at, text) => [...text].forEach((c, i) => view.setUint8(at + i, c.charCodeAt(0)));
  ascii(0, "RIFF");
  view.setUint32(4, 36 + 2 * count, true);
  ascii(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, RATE, true);
  view.setUint32(28, 2 * RATE, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  ascii(36, "data");
  view.setUint32(40, 2 * count, true);
  let at = 44;
  for (const piece of pieces) {
    for (const sample of piece) {
      view.setInt16(at, Math.max(-32768, Math.min(32767, Math.round(sample * 32768))), true);
      at += 2;
    }
  }
  return new Blob([view], { type: "audio/wav" });
}
