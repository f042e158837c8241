// What the catalogue says of items, asked once, and their pictures, drawn where there are none.

import { fileAddress, json } from "./api.js";
import { el, listed } from "./dom.js";
import { chosenDomain } from "./state.js";

/** Ids in one question, as the server takes them, and entries that are kept. */
const MOST_IDS = 100;
const MOST_KEPT = 2000;
const known = new Map();

function keep(items) {
  for (const item of items) known.set(item.item_id, item);
  while (known.size > MOST_KEPT) known.delete(known.keys().next().value);
  return items;
}

/** Return what was asked before of an item, or undefined. */
export const remembered = (id) => known.get(id);

/** Return Map id -> item of those that the catalogue has. */
export async function details(ids, signal) {
  const wanted = [...new Set(ids)].filter((id) => !known.has(id));
  const plain = wanted.filter((id) => !id.includes(","));
  for (let start = 0; start < plain.length; start += MOST_IDS) await together(plain.slice(start, start + MOST_IDS), signal);
  await Promise.all(wanted.filter((id) => id.includes(",")).map((id) => alone(id, signal)));
  return new Map(ids.filter((id) => known.has(id)).map((id) => [id, known.get(id)]));
}

async function together(ids, signal) {
  try {
    keep((await json(`/v1/items?ids=${ids.map(encodeURIComponent).join(",")}`, { signal })).data);
  } catch (error) {
    if (error.status !== 404) throw error;
    await Promise.all(ids.map((id) => alone(id, signal))); // one of them is unknown: the others are not
  }
}

async function alone(id, signal) {
  try {
    keep([await json(`/v1/items/${encodeURIComponent(id)}`, { signal })]);
  } catch (error) {
    if (error.status !== 404) throw error;
  }
}

/** Return {total, data}: the items of the chosen domain that fit a text, or without one those that most people like. */
export async function search(text, { limit = 8, offset = 0, signal } = {}) {
  const domain = chosenDomain();
  const asked = new URLSearchParams({ limit, offset, ...(text ? { search: text } : {}), ...(domain ? { domain } : {}) });
  const found = await json(`/v1/items?${asked}`, { signal });
  keep(found.data);
  return found;
}

/** Return the few words that stand below a title: values of its first attributes. */
export function byline(item, most = 3) {
  const { domain, ...rest } = item?.attributes ?? {}; // of a joined catalogue: what it is at all comes first
  const groups = Object.values(domain ? { domain, ...rest } : rest).map((values) => [values].flat().filter((value) => `${value}`.length <= 40));
  return groups.filter((values) => values.length).slice(0, most).map((values) => values.slice(0, 2).join(", "));
}

/** Return a picture of an item: its own, or one that is drawn with its initials. */
export function poster(id, title, size = 224) {
  const frame = el("span", { class: "poster" }, drawn(title));
  fillPoster(frame, known.get(id), size);
  return frame;
}

/** Put an item's own picture over the drawn one, once it is known and has come. */
export async function fillPoster(frame, item, size = 224) {
  if (!item?.image || frame.querySelector("img")) return;
  const image = el("img", { alt: "", loading: "lazy", decoding: "async", width: size, height: size });
  image.addEventListener("load", () => frame.classList.add("has-picture"));
  image.addEventListener("error", () => image.remove());
  frame.append(image);
  try {
    image.src = await fileAddress(`${item.image}?size=${size}`);
  } catch {
    image.remove(); // the drawn one stands
  }
}

function drawn(title) {
  const hue = hash(title) % 360;
  const tile = el("span", { class: "drawn", "aria-hidden": "true", text: initials(title) });
  tile.style.setProperty("--hue", hue);
  tile.style.setProperty("--turn", `${hash(`${title}.`) % 180}deg`);
  return tile;
}

function initials(title) {
  const words = title.replace(/[^\p{L}\p{N}\s]/gu, " ").split(/\s+/).filter(Boolean);
  const telling = words.filter((word) => !/^(the|a|an|of|and)$/i.test(word));
  return (telling.length ? telling : words).slice(0, 2).map((word) => [...word][0].toUpperCase()).join("") || "·";
}

function hash(text) {
  let value = 2166136261;
  for (const char of text) value = Math.imul(value ^ char.codePointAt(0), 16777619);
  return value >>> 0;
}

/** Return the titles of items as words in a sentence, in quotation marks. */
export const quoted = (items) => listed(items.map(({ title }) => `“${title}”`));
