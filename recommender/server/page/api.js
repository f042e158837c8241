// Asks the server: JSON and event streams, with a key if there is one. What goes wrong is an error with a sentence.

/** Where the server's routes begin: the page may lie behind a proxy's prefix. */
const ROOT = new URL("../", import.meta.url);
const KEY = "recommender.key";
const BUSY = [429, 503];
const MOST_TRIES = 4;

/** `lost`, `back`, `busy` (detail: seconds) and `key` (detail: sentence): what concerns the whole page. */
export const connection = new EventTarget();
let isLost = false;

export class ApiError extends Error {
  constructor(message, { status = 0, code = "" } = {}) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** Return the address of a route of this server. */
export const address = (path) => new URL(path.replace(/^\//, ""), ROOT);

export function key() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}

/** Keep a key for as long as this tab is open; an empty one is forgotten. */
export function useKey(value) {
  try {
    if (value) sessionStorage.setItem(KEY, value);
    else sessionStorage.removeItem(KEY);
  } catch {
    // without storage the page works, and asks again after a reload
  }
}

function tell(name, detail) {
  connection.dispatchEvent(new CustomEvent(name, { detail }));
}

/** Ask until the server answers again. */
async function watch() {
  if (isLost) return;
  isLost = true;
  tell("lost");
  for (let wait = 500; ; wait = Math.min(wait * 1.5, 5000)) {
    await pause(wait);
    try {
      if ((await fetch(address("healthz"), { cache: "no-store" })).ok) break;
    } catch {
      // still gone
    }
  }
  isLost = false;
  tell("back");
}

function pause(milliseconds, signal) {
  return new Promise((done, fail) => {
    const timer = setTimeout(done, milliseconds);
    signal?.addEventListener("abort", () => { clearTimeout(timer); fail(signal.reason); }, { once: true });
  });
}

/** Fetch a route with the key. Throws ApiError, and AbortError if `signal` says so. */
async function ask(path, { body, signal, accept } = {}) {
  const headers = {};
  if (key()) headers.Authorization = `Bearer ${key()}`;
  if (accept) headers.Accept = accept;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const options = { headers, signal, method: body === undefined ? "GET" : "POST", body: body && JSON.stringify(body) };
  for (let tries = 1; ; tries += 1) {
    const answer = await reached(path, options);
    if (answer.ok) return answer;
    const error = await errorOf(answer);
    if (!BUSY.includes(answer.status) || tries === MOST_TRIES) throw error;
    const seconds = Math.min(Number(answer.headers.get("Retry-After")) || tries, 30);
    tell("busy", { seconds, message: error.message });
    await pause(seconds * 1000, signal);
  }
}

async function reached(path, options) {
  try {
    return await fetch(address(path), options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    watch();
    throw new ApiError("The server does not answer.", { code: "lost" });
  }
}

async function errorOf(answer) {
  let told = {};
  try {
    told = (await answer.json()).error ?? {};
  } catch {
    // an answer of something between here and the server
  }
  const code = told.code ?? "";
  if (answer.status === 401 || (answer.status === 403 && code !== "origin_not_allowed")) {
    const sentence = key() ? "The key has expired, or does not fit this server." : "This server asks for a key.";
    tell("key", sentence);
    return new ApiError(sentence, { status: answer.status, code });
  }
  const message = told.message ?? `The server answered ${answer.status} ${answer.statusText}`.trim();
  return new ApiError(sentence(message), { status: answer.status, code });
}

/** Return a line of the server as a sentence. */
export function sentence(text) {
  const trimmed = text.trim();
  const whole = /[.!?…)]$/.test(trimmed) ? trimmed : `${trimmed}.`;
  return whole.charAt(0).toUpperCase() + whole.slice(1);
}

/** Return the answer of a route as data; with a `body` it is posted. */
export async function json(path, options = {}) {
  const answer = await ask(path, options);
  try {
    return await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The answer of the server broke off.", { code: "broken" });
  }
}

/** Return a file of the server as an address for <img> and <audio>, which send no key of their own. */
export async function fileAddress(path) {
  if (!key()) return address(path).href;
  return URL.createObjectURL(await (await ask(path)).blob());
}

/** Yield {event, data} of a stream; data is JSON. Throws ApiError where it ends before its last event. */
export async function* events(path, body, signal) {
  const answer = await ask(path, { body, signal, accept: "text/event-stream" });
  let whole = false;
  try {
    for await (const block of blocks(answer.body)) {
      const { event, data } = fields(block);
      if (data === "[DONE]" || event === "done") whole = true;
      if (!data || data === "[DONE]") continue;
      const value = JSON.parse(data);
      if (value.error) throw new ApiError(sentence(value.error.message ?? "the server failed"), { code: value.error.code });
      yield { event, data: value };
    }
  } catch (error) {
    if (error.name === "AbortError" || error instanceof ApiError) throw error;
  }
  if (signal?.aborted) throw signal.reason;
  if (!whole) {
    json("healthz").catch(() => {}); // tells the page if the server is gone
    throw new ApiError("The answer broke off before its end.", { code: "broken" });
  }
}

async function* blocks(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const parts = (rest + value).split(/\r?\n\r?\n/);
      rest = parts.pop();
      yield* parts;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function fields(block) {
  const found = { event: "message", data: "" };
  for (const line of block.split(/\r?\n/)) {
    const [, name, value] = /^(\w+): ?(.*)$/.exec(line) ?? [];
    if (name === "event") found.event = value;
    if (name === "data") found.data += value;
  }
  return found;
}
