// What the list is made of: each part in plain words, its measured weight, and a switch.

import { json } from "./api.js";
import { announce, byId, debounced, el } from "./dom.js";
import { failure } from "./notices.js";
import { about, changes, domainFields, history, person, switchPart } from "./state.js";

let asking;

/** Ask when the panel is open, and again when what is liked has changed. */
export function startParameters() {
  const panel = byId("parameters");
  const later = debounced(() => { if (panel.open) ask(); }, 700);
  panel.addEventListener("toggle", () => { if (panel.open) ask(); });
  for (const name of ["likes", "switches", "domain", "forgotten"]) changes.addEventListener(name, later);
  if (panel.open) ask();
}

async function ask() {
  asking?.abort();
  asking = new AbortController();
  const { signal } = asking;
  const body = byId("parameters-body");
  body.setAttribute("aria-busy", "true");
  if (!body.firstChild) body.append(el("p", { class: "writing", "aria-label": "Being measured" }));
  try {
    const asked = Object.entries({ history: history(), ...domainFields() }).filter(([, values]) => values.length);
    const fields = asked.map(([name, values]) => `&${name}=${values.map(encodeURIComponent).join(",")}`).join("");
    const told = await json(`/v1/parameters?k=10${fields}`, { signal });
    if (!signal.aborted) show(told);
  } catch (error) {
    if (error.name === "AbortError") return;
    body.replaceChildren(failure(error.status === 404 ? "This server does not measure its parts." : error.message, error.status === 404 ? null : ask));
  } finally {
    if (!signal.aborted) body.removeAttribute("aria-busy");
  }
}

function show(told) {
  const focused = document.activeElement?.id;
  const parts = told.data.filter((part) => part.name !== "history");
  const most = Math.max(...parts.map((part) => part.effect ?? 0), 0.01);
  const personal = told.data.find((part) => part.name === "history");
  byId("parameters-body").replaceChildren(
    privacy(personal),
    el("ul", { class: "parts" }, parts.map((part) => row(part, most, told.k))),
    el("p", { class: "fine", text: `Measured on ${told.history ? "your list" : `a list for somebody of whom nothing is known`}: each part was switched off, and the ${about.noun.many} were ranked again.` }),
  );
  if (focused) byId(focused)?.focus();
}

/** The mode without any personal history. */
function privacy(personal) {
  const words = personal?.description ?? `What you like then only hides ${about.noun.many} that you know; the list is that of everybody.`;
  const on = person.without.includes("history");
  return el("div", { class: "privacy" }, toggle("history", "Without my history", on, (pressed) => switchPart("history", !pressed)), el("p", { class: "muted", text: words, dir: "auto" }));
}

function row(part, most, k) {
  const on = !person.without.includes(part.name);
  const title = part.switchable ? toggle(part.name, part.title, on, (pressed) => switchPart(part.name, pressed)) : el("p", { class: "part-title", text: part.title });
  const told = part.description && el("p", { class: "muted", text: part.description, dir: "auto" });
  return el("li", { class: on ? "part" : "part off" }, title, told, weight(part, most, k));
}

function weight(part, most, k) {
  if (part.effect === null || part.effect === undefined) return null;
  const bar = el("span", { class: "bar" }, el("span", { class: "bar-fill" }));
  bar.firstChild.style.width = `${Math.max(1, Math.round((100 * Math.abs(part.effect)) / most))}%`;
  const changed = part.changed === null || part.changed === undefined ? "" : `changes ${part.changed} of ${k}`;
  return el("div", { class: "weight", title: `${part.effect.toFixed(2)} nats on average (${part.method ?? "measured"})` }, bar, el("span", { class: "weight-words", text: changed || `${part.effect.toFixed(2)} nats` }));
}

function toggle(name, words, on, change) {
  const id = `part-${name}`;
  const box = el("input", { type: "checkbox", role: "switch", id });
  box.checked = on;
  box.addEventListener("change", () => {
    change(box.checked);
    announce(`${words}: ${box.checked ? "on" : "off"}.`);
  });
  return el("label", { class: "switch", for: id }, el("span", { text: words }), box);
}
