// Sentences on top of the page: the server is gone, it is busy, it wants a key; and short ones that go by themselves.

import { connection, useKey } from "./api.js";
import { byId, el, roundButton } from "./dom.js";

const SHORT = 6000;
const shown = new Map();

/** Show a sentence under a name, in the place of the last one of that name. `role`: alert for what cannot wait. */
export function notice(name, text, { role = "status", parts = [], closes = true, kind = "" } = {}) {
  dismiss(name);
  const line = el("p", { role, text });
  const box = el("div", { class: `notice ${kind}` }, line, parts, closes && roundButton("close", "Dismiss", () => dismiss(name)));
  byId("notices").append(box);
  shown.set(name, box);
  return box;
}

export function dismiss(name) {
  shown.get(name)?.remove();
  shown.delete(name);
}

/** Show a sentence for a few seconds. */
export function brief(text) {
  const box = notice("brief", text);
  setTimeout(() => { if (shown.get("brief") === box) dismiss("brief"); }, SHORT);
}

/** Watch the connection. `again`: called when the server is back, or a key was given. */
export function watchConnection(again) {
  connection.addEventListener("lost", () => {
    notice("connection", "The server does not answer. Trying to reach it again; what you typed stays.", { role: "alert", closes: false, kind: "bad" });
  });
  connection.addEventListener("back", () => {
    dismiss("connection");
    brief("The server is back.");
    again();
  });
  connection.addEventListener("busy", ({ detail }) => {
    const { seconds } = detail;
    notice("busy", `The server is busy. Trying again in ${seconds} ${seconds === 1 ? "second" : "seconds"}.`);
    setTimeout(() => dismiss("busy"), seconds * 1000 + 500);
  });
  connection.addEventListener("key", ({ detail }) => askForKey(detail, again));
}

function askForKey(sentence, again) {
  if (shown.has("key")) return;
  const field = el("input", { type: "password", id: "key", autocomplete: "off", required: true });
  const form = el("form", { class: "key-form" }, el("label", { for: "key", text: "Key" }), field, el("button", { type: "submit", class: "primary", text: "Use it" }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    useKey(field.value.trim());
    dismiss("key");
    again();
  });
  notice("key", `${sentence} It is kept until this tab is closed.`, { role: "alert", parts: [form], kind: "bad" });
}

/** Return a sentence with a button that tries again, to stand where an answer would. */
export function failure(text, retry) {
  const again = retry && el("button", { type: "button", class: "quiet", text: "Try again", on: { click: retry } });
  return el("div", { class: "failure", role: "alert" }, el("p", { text }), again);
}
