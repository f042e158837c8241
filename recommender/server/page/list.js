// The list: ranked for what somebody likes, or by a conversation; cards at once, reasons as they are written.

import { events, json } from "./api.js";
import { makeCard } from "./cards.js";
import { hideEvidence } from "./claims.js";
import { announce, byId, counted } from "./dom.js";
import { details } from "./items.js";
import { brief, failure } from "./notices.js";
import { about, hide, history, like, person, requestFields } from "./state.js";

const STEP = 6;
const MOST = 48;
const cards = new Map(); // item id -> card
let asking;

/** What is listed: `items` as ranked, `request`: the fields that they answer. */
export const current = { items: [], request: {}, k: STEP };

/** Called with a card whose reason is asked for; and to ask for the list again. Set by the page. */
export const hooks = { why: () => {}, again: () => refresh() };

const actions = {
  why: (card) => hooks.why(card.item, card.why),
  like: (card) => {
    like(card.item);
    announce(`${card.item.title} was added to what you like.`);
  },
  helpful: (card) => opinion(card, "helpful", "Thank you. Such reasons come first from now on."),
  wrong: async (card) => {
    if (await opinion(card, "wrong", "Thank you. That is not said again.")) hooks.again();
  },
  hide: async (card) => {
    const { item_id: id, title } = card.item;
    hide(id);
    leave(card);
    announce(`${title} was taken off the list.`);
    hooks.again();
    await opinion(card, "not for me", `“${title}” is not shown to you again.`);
  },
};

/** Keep an opinion where feedback is kept. Returns whether it was. */
async function opinion(card, name, thanks) {
  const { item_id, justification } = card.item;
  const body = { item_id, opinion: name, user: person.user };
  if (justification && name !== "not for me") body.justification = justification.slice(0, 600);
  try {
    await json("/v1/feedback", { body });
  } catch (error) {
    const kept = error.code === "no_feedback";
    brief(kept ? (name === "not for me" ? "Taken off this list. This server keeps no feedback." : "This server keeps no feedback.") : error.message);
    return false;
  }
  if (card[name]) card.mark(name, thanks);
  brief(thanks);
  return true;
}

function leave(card) {
  const next = (card.node.nextElementSibling ?? card.node.previousElementSibling)?.querySelector("h3");
  const hadFocus = card.node.contains(document.activeElement);
  card.node.remove();
  cards.delete(card.item.item_id);
  if (hadFocus) (next ?? byId("list-title")).focus({ preventScroll: true });
}

/** Begin a list: what was asked before is not waited for any more. Returns the signal that ends it. */
export function begin() {
  asking?.abort();
  asking = new AbortController();
  byId("list-error").replaceChildren();
  byId("cards").setAttribute("aria-busy", "true");
  return asking.signal;
}

/** Stop waiting for a list. */
export function stop() {
  asking?.abort();
  byId("cards").removeAttribute("aria-busy");
}

/** Show ranked items as cards. `waiting`: their reasons will follow. */
export function showItems(items, { waiting = true, note = "", request = {} } = {}) {
  hideEvidence();
  const before = new Map(cards);
  cards.clear();
  for (const item of items) {
    const card = before.get(item.item_id) ?? makeCard(item, actions);
    before.delete(item.item_id);
    cards.set(item.item_id, card);
    card.update(item);
    if (waiting) card.wait();
    else card.stopWaiting();
  }
  const focused = [...before.values()].find((card) => card.node.contains(document.activeElement));
  place([...cards.values()].map((card) => card.node));
  if (focused) byId("list-title").focus({ preventScroll: true });
  Object.assign(current, { items, request });
  byId("list").hidden = false;
  byId("list-note").textContent = note;
  byId("more").hidden = !request.more || items.length < current.k || current.k >= MOST;
  describe(items.map((item) => item.item_id));
}

/** Put nodes in order, moving only what stands elsewhere: what is moved loses the focus. */
function place(nodes) {
  const list = byId("cards");
  const wanted = new Set(nodes);
  for (const node of [...list.children]) if (!wanted.has(node)) node.remove();
  nodes.forEach((node, at) => { if (list.children[at] !== node) list.insertBefore(node, list.children[at] ?? null); });
}

async function describe(ids) {
  try {
    await details(ids);
  } catch {
    return; // the cards stand with their titles and drawn pictures
  }
  for (const id of ids) cards.get(id)?.describe();
}

/** Show the reason of an item, of a place if its id is not known. */
export function showReason(item) {
  cards.get(item.item_id)?.justify(item);
  const listed = current.items.findIndex((one) => one.item_id === item.item_id);
  if (listed >= 0) current.items[listed] = item;
}

/** End a list that is whole. */
export function finish() {
  byId("cards").removeAttribute("aria-busy");
  for (const card of cards.values()) card.stopWaiting();
  if (current.items.length) announce(`The list has ${counted(current.items.length, about.noun)}. First: ${current.items[0].title}.`);
}

/** End a list that broke off: a sentence, and a button. */
export function fail(error, retry) {
  if (error.name === "AbortError") return;
  finish();
  byId("list").hidden = false;
  byId("list-error").replaceChildren(failure(error.message, retry));
}

/** Say in words what the list goes by. */
function goesBy() {
  const { without, likes } = person;
  if (without.includes("history")) return `What everybody would be shown: your history is switched off.`;
  if (!likes.length) return "Nothing is known of you yet: this is what everybody would be shown.";
  const parts = without.length ? ` ${without.length === 1 ? "One part is" : `${without.length} parts are`} switched off.` : "";
  return `From ${counted(likes.length, about.noun)} you like.${parts}`;
}

/** Rank for what somebody likes. */
export async function refresh({ k = STEP } = {}) {
  const signal = begin();
  current.k = k;
  const fields = requestFields();
  try {
    for await (const { event, data } of events("/v1/recommendations", { ...fields, k, explain: true, stream: true }, signal)) {
      if (event === "items") showItems(data.items, { note: [goesBy(), ...data.notes].join(" "), request: { ...fields, more: true } });
      if (event === "justification") showReason(data);
    }
    finish();
  } catch (error) {
    fail(error, () => refresh({ k }));
  }
}

/** Make the list longer. */
export const more = () => refresh({ k: Math.min(current.k + STEP, MOST) });

/** Take the list away. */
export function clear() {
  stop();
  cards.clear();
  byId("cards").replaceChildren();
  byId("list").hidden = true;
  Object.assign(current, { items: [], request: {}, k: STEP });
}

/** Return the fields of a request that an explanation of the list is asked with. */
export function explained() {
  const { more: _, ...fields } = current.request;
  return { ...requestFields(), history: history(), ...fields, k: Math.max(current.items.length, 1) };
}
