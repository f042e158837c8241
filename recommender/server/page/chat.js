// The conversation: messages, what was understood of them, and the list that answers.

import { events } from "./api.js";
import { announce, byId, el, icon, roundButton } from "./dom.js";
import { begin, clear, current, fail, finish, showItems, showReason } from "./list.js";
import { failure } from "./notices.js";
import { player } from "./player.js";
import { about, domainFields, history, person } from "./state.js";

const K = 6;
/** Refused as it is: asking again would change nothing, so the message goes back to be changed. */
const REFUSED = [400, 413, 422];

let messages = []; // {role, text, picture, sound}
let dropped = new Map(); // id -> chip that was removed
let understood = [];
let giveBack = () => {}; // called with a message that was refused

/** Whether a conversation has begun. */
export const talking = () => messages.length > 0;

/** Set what takes a refused message back into the composer. */
export const onRefused = (take) => { giveBack = take; };

/** Say something. `message`: {text, picture, sound}. */
export function say(message) {
  messages.push({ role: "user", ...message });
  showMessage(messages.at(-1));
  return answer();
}

/** Ask again for the answer to the last message: what is liked, switched off or dropped has changed. */
export const again = () => answer({ anew: false });

/** Begin a new conversation. */
export function reset() {
  messages = [];
  dropped = new Map();
  understood = [];
  byId("log").replaceChildren();
  showChips();
  clear();
}

/** Return what the server is sent of the messages: pictures of earlier ones small, as they have had their effect. */
function sent() {
  const last = messages.findLastIndex((message) => message.role === "user"); // an answer that is asked for again is not sent
  const said = messages.slice(0, last + 1).map((message, at) => ({ role: message.role, content: content(message, at === last) }));
  let media = 0;
  for (const { content: parts } of [...said].reverse()) {
    if (!Array.isArray(parts)) continue;
    parts.splice(0, parts.length, ...parts.filter((part) => part.type === "text" || (media += 1) <= about.limits.media));
    if (!parts.length) parts.push({ type: "text", text: "" });
  }
  return shortened(said);
}

function content({ text, picture, sound }, isLast) {
  if (!picture && !sound) return text;
  const parts = [];
  if (text) parts.push({ type: "text", text });
  if (picture) parts.push({ type: "image_url", image_url: { url: isLast ? picture.full : picture.small } });
  if (sound) parts.push({ type: "input_audio", input_audio: { data: sound.data, format: "wav" } });
  return parts;
}

/** Leave the earliest messages out until the server takes the rest. */
function shortened(said) {
  const { body_bytes: bytes, message_chars: chars } = about.limits;
  const text = (message) => (Array.isArray(message.content) ? message.content.reduce((sum, part) => sum + (part.text?.length ?? 0), 0) : message.content.length);
  const fits = () => said.reduce((sum, message) => sum + text(message), 0) <= chars && JSON.stringify(said).length <= bytes - 20_000 && said.length <= 200;
  while (said.length > 1 && !fits()) said.shift();
  return said;
}

async function answer({ anew = true } = {}) {
  const signal = begin();
  const entry = anew ? startEntry() : lastEntry() ?? startEntry();
  byId("chips").classList.toggle("waiting", true);
  const reply = { role: "assistant", text: "" };
  try {
    await stream(reply, entry, signal);
    keep(reply, anew);
    finish();
    entry.classList.remove("waiting");
  } catch (error) {
    if (error.name === "AbortError") {
      if (anew && reply.text) keep(reply, anew);
      entry.classList.remove("waiting");
      if (anew && !reply.text) entry.remove();
      return;
    }
    failed(error, entry, reply);
  } finally {
    byId("chips").classList.toggle("waiting", false);
  }
}

function body() {
  const fields = { messages: sent(), stream: true, explain: true, k: K, history: history(), user: person.user, ...domainFields() };
  if (dropped.size) fields.dropped = [...dropped.keys()];
  if (person.without.length) fields.without = person.without;
  if (person.hidden.length) fields.exclude = person.hidden;
  return fields;
}

async function stream(reply, entry, signal) {
  for await (const { data } of events("/v1/chat/completions", body(), signal)) {
    const text = data.choices?.[0]?.delta?.content ?? "";
    reply.text += text;
    const last = data.choices?.[0]?.finish_reason;
    if (text) showText(entry, reply.text);
    if (data.understood) heard(data.understood, entry);
    if (data.recommendation) showReason(data.recommendation);
    if (data.recommendations) showList(data, !last);
  }
}

function showList(data, waiting) {
  const items = data.recommendations.filter((item) => !person.hidden.includes(item.item_id));
  if (!items.length) return;
  const messages = sent().map(({ role, content: said }) => ({ role, content: worded(said) }));
  const request = { history: [...new Set([...history(), ...(data.history ?? [])])], messages, dropped: [...dropped.keys()], ...domainFields() };
  const isShown = items.length === current.items.length && items.every((item, at) => item.item_id === current.items[at].item_id);
  if (!isShown || waiting) showItems(items, { waiting, note: note(data), request });
  else items.filter((item) => item.justification).forEach(showReason);
}

/** Return a message as words: a question about the list needs no media. */
const worded = (said) => (Array.isArray(said) ? said.map((part) => part.text ?? "").join("\n") : said);

const note = ({ notes = [] }) => ["From what you said.", ...notes].join(" ");

function keep(reply, anew) {
  const at = messages.length - 1;
  if (!anew && messages[at].role === "assistant") messages[at] = reply;
  else messages.push(reply);
}

function failed(error, entry, reply) {
  entry.classList.remove("waiting");
  if (REFUSED.includes(error.status) && messages.at(-1)?.role === "user" && !reply.text) {
    const message = messages.pop();
    [...byId("log").querySelectorAll(".said")].at(-1)?.remove();
    entry.replaceChildren(failure(error.message));
    giveBack(message);
    fail(new DOMException("", "AbortError"));
    finish();
    return;
  }
  finish();
  entry.querySelector(".failure")?.remove();
  entry.append(failure(error.message, () => {
    entry.remove();
    answer();
  }));
}

// what is shown

function showMessage({ text, picture, sound }) {
  const entry = el("div", { class: "said" }, el("span", { class: "hidden", text: "You: " }));
  if (picture) entry.append(el("img", { class: "said-picture", src: picture.full, alt: `Your picture ${picture.name}` }));
  if (sound) entry.append(player(sound.url, sound.name));
  if (text) entry.append(el("p", { dir: "auto", text }));
  byId("log").append(entry);
  entry.scrollIntoView({ block: "start", behavior: "auto" });
}

function startEntry() {
  const entry = el("div", { class: "answer waiting" }, el("span", { class: "hidden", text: "Answer: " }), el("p", { class: "dots", "aria-label": "Being written" }));
  byId("log").append(entry);
  return entry;
}

const lastEntry = () => [...byId("log").querySelectorAll(".answer")].at(-1);

/** Show an answer without its list, which stands below as cards. */
function showText(entry, text) {
  const lines = text.split("\n").filter((line) => line.trim() && !/^\d+\. /.test(line));
  const plain = understood.length ? lines.filter((line) => !line.startsWith("Understood:")) : lines;
  const paragraphs = plain.map((line) => el("p", { dir: "auto", text: line }));
  entry.classList.remove("waiting");
  const shown = [...entry.querySelectorAll("p")].map((line) => line.textContent).join("\n");
  if (shown !== plain.join("\n")) entry.replaceChildren(entry.firstChild, ...paragraphs);
}

function heard(chips, entry) {
  understood = chips;
  showChips();
  const lines = [...entry.querySelectorAll("p")].filter((line) => line.textContent.startsWith("Understood:"));
  if (chips.length) for (const line of lines) line.remove();
}

const MARKS = { only: "Only", toward: "Rather", query: "About" };

function showChips() {
  const gone = [...dropped.values()].filter((chip) => !understood.some((one) => one.id === chip.id));
  const nodes = [...understood.map((chip) => chipNode(chip)), ...gone.map((chip) => goneNode(chip))];
  const over = talking() ? [el("button", { type: "button", class: "link", text: "New conversation", on: { click: () => { reset(); document.dispatchEvent(new Event("conversation-over")); } } })] : [];
  byId("chips").replaceChildren(...nodes, ...over);
  byId("chips").hidden = !nodes.length && !over.length;
}

function chipNode(chip) {
  const kind = MARKS[chip.kind] ?? "";
  const said = chip.text.toLowerCase().startsWith(kind.toLowerCase()) ? "" : kind;
  const words = [said && el("span", { class: "chip-kind", text: said }), el("span", { dir: "auto", text: chip.text })];
  const remove = roundButton("close", `Drop: ${chip.text}`, () => {
    dropped.set(chip.id, chip);
    understood = understood.filter((one) => one.id !== chip.id);
    after(`“${chip.text}” does not count any more.`);
  }, { class: "round tiny" });
  return el("span", { class: `chip ${chip.kind}`, "data-id": chip.id }, ...words.filter(Boolean), remove);
}

function goneNode(chip) {
  const back = el("button", { type: "button", class: "chip gone", "data-id": chip.id, title: "Count it again", "aria-label": `Count again: ${chip.text}` }, icon("back"), el("span", { dir: "auto", text: chip.text }));
  back.addEventListener("click", () => {
    dropped.delete(chip.id);
    after(`“${chip.text}” counts again.`);
  });
  return back;
}

function after(words) {
  showChips();
  announce(words);
  byId("chips").querySelector("button")?.focus();
  again();
}
