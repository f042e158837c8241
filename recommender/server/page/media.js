// Pictures and sounds that somebody adds: checked before they are read, and made small before they are sent.

import { about } from "./state.js";

/** Bytes of a file that is opened at all: photographs and minutes of music are smaller. */
const MOST_BYTES = 40_000_000;
const LARGE_SIDE = 1024;
const SMALL_SIDE = 64;
const RATE = 16_000;

export class MediaError extends Error {}

const megabytes = (bytes) => `${Math.round(bytes / 1e6).toLocaleString("en")} MB`;

/** Return "picture" or "sound" for a file. Throws MediaError for one that is neither, or too large to be read. */
export function kindOf(file) {
  if (file.size > MOST_BYTES) throw new MediaError(`“${file.name}” has ${megabytes(file.size)}; at most ${megabytes(MOST_BYTES)} can be sent. It was not read.`);
  if (file.type.startsWith("image/")) return "picture";
  if (file.type.startsWith("audio/") || file.type === "video/webm" || file.type === "video/mp4") return "sound";
  throw new MediaError(`“${file.name}” is neither a picture nor a sound.`);
}

/** Return a picture as {name, full, small}: data URLs for the message it is sent with, and for later ones. */
export async function readPicture(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new MediaError(`“${file.name}” is no picture that can be read. JPEG, PNG and WebP can.`);
  }
  const pictures = { name: file.name, full: scaled(bitmap, LARGE_SIDE), small: scaled(bitmap, SMALL_SIDE) };
  bitmap.close();
  return pictures;
}

function scaled(bitmap, side) {
  const by = Math.min(1, side / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * by));
  canvas.height = Math.max(1, Math.round(bitmap.height * by));
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#fff"; // transparency is white for the model too
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/jpeg", 0.85);
}

/** Return a sound as {name, data, url, seconds}: a WAV file in base64 and as an address for a player. */
export async function readSound(file, name = file.name) {
  const samples = await decoded(file, name);
  const seconds = samples.length / RATE;
  const most = about.limits.sound_seconds;
  if (seconds > most) throw new MediaError(`“${name}” lasts ${Math.round(seconds)} seconds; at most ${most} can be sent.`);
  const bytes = wav(samples);
  return { name, seconds, data: base64(bytes), url: URL.createObjectURL(new Blob([bytes], { type: "audio/wav" })) };
}

/** Decode whatever the browser can, to one channel at the rate that the model hears. */
async function decoded(file, name) {
  const context = new OfflineAudioContext(1, 1, RATE);
  try {
    const buffer = await context.decodeAudioData(await file.arrayBuffer()); // which also resamples
    const mono = new Float32Array(buffer.length);
    for (let channel = 0; channel < buffer.numberOfChannels; channel += 1) {
      buffer.getChannelData(channel).forEach((value, at) => { mono[at] += value / buffer.numberOfChannels; });
    }
    return mono;
  } catch {
    throw new MediaError(`“${name}” is no sound that can be read. WAV, MP3, OGG and FLAC can.`);
  }
}

/** Return samples as a WAV file of 16 bits. */
function wav(samples) {
  const bytes = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const text = (at, letters) => [...letters].forEach((letter, n) => bytes.setUint8(at + n, letter.charCodeAt(0)));
  text(0, "RIFF");
  bytes.setUint32(4, 36 + 2 * samples.length, true);
  text(8, "WAVEfmt ");
  bytes.setUint32(16, 16, true);
  bytes.setUint16(20, 1, true); // samples as they are
  bytes.setUint16(22, 1, true); // one channel
  bytes.setUint32(24, RATE, true);
  bytes.setUint32(28, 2 * RATE, true);
  bytes.setUint16(32, 2, true);
  bytes.setUint16(34, 16, true);
  text(36, "data");
  bytes.setUint32(40, 2 * samples.length, true);
  samples.forEach((value, at) => bytes.setInt16(44 + 2 * at, Math.round(32767 * Math.max(-1, Math.min(1, value))), true));
  return new Uint8Array(bytes.buffer);
}

function base64(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(text);
}

/** Record from the microphone. Returns {stop, done}: `done` is the recording, once `stop` was called or the time is over. */
export async function record() {
  if (!navigator.mediaDevices?.getUserMedia) throw new MediaError("This browser lets pages record on https and localhost only. Type the message.");
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  } catch (error) {
    throw new MediaError(error.name === "NotFoundError" ? "There is no microphone. Type the message." : "The microphone may not be used. Allow it in the browser, or type the message.");
  }
  const recorder = new MediaRecorder(stream);
  const parts = [];
  recorder.addEventListener("dataavailable", ({ data }) => parts.push(data));
  const ended = new Promise((done) => recorder.addEventListener("stop", done, { once: true }));
  const stop = () => { if (recorder.state !== "inactive") recorder.stop(); };
  const limit = setTimeout(stop, 1000 * (about.limits.sound_seconds - 1));
  recorder.start();
  const done = ended.then(() => {
    clearTimeout(limit);
    for (const track of stream.getTracks()) track.stop();
    return new Blob(parts, { type: recorder.mimeType });
  });
  return { stop, done };
}
