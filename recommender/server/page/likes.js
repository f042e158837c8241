// What somebody likes: found in the catalogue, added and taken away. And where nothing is known, what they may begin with.

import { announce, byId, counted, el, icon, roundButton } from "./dom.js";
import { details, poster, search } from "./items.js";
import { searchBox } from "./search.js";
import { about, changes, chosenDomain, chosenNoun, isLiked, keepOnly, like, person, unlike } from "./state.js";

const STARTERS = 12;

/** Fill the panel, and keep it as it should be. */
export function startLikes() {
  const box = searchBox((noun) => `Search ${noun.many}`, (item) => {
    like(item);
    announce(`${item.title} was added.`);
  });
  const list = el("ul", { class: "liked", "aria-label": "What you like" });
  byId("likes-body").replaceChildren(box, list);
  const show = () => {
    list.replaceChildren(...[...person.likes].reverse().map((item) => row(item, box)));
    byId("likes-count").textContent = person.likes.length || "";
    for (const press of byId("starters").querySelectorAll("button")) press.setAttribute("aria-pressed", String(isLiked(press.dataset.id)));
    if (!person.likes.length) list.append(el("li", { class: "muted empty", text: `Nothing yet. Add a few ${about.noun.many} and the list follows.` }));
  };
  for (const name of ["likes", "forgotten"]) changes.addEventListener(name, show);
  for (const name of ["domain", "forgotten"]) changes.addEventListener(name, box.renamed);
  show();
  return show;
}

/** Ask once what the catalogue says of what was kept; what it does not have any more is dropped. */
export async function checkLikes(show) {
  const ids = [...person.likes.map((item) => item.item_id), ...person.hidden];
  if (!ids.length) return;
  try {
    keepOnly((await details(ids)).keys());
  } catch {
    return; // the list says what is wrong
  }
  show();
}

function row(item, box) {
  const remove = roundButton("close", `Remove ${item.title}`, () => {
    const next = node.nextElementSibling ?? node.previousElementSibling;
    const label = next?.querySelector("button")?.getAttribute("aria-label");
    unlike(item.item_id);
    announce(`${item.title} was removed.`);
    const left = [...byId("likes-body").querySelectorAll(".liked button")].find((one) => one.getAttribute("aria-label") === label);
    (left ?? box.field).focus();
  });
  remove.classList.add("small");
  const node = el("li", { "data-id": item.item_id }, poster(item.item_id, item.title, 96), el("span", { class: "liked-title", dir: "auto", text: item.title }), remove);
  return node;
}

/** Offer what most people like to somebody of whom nothing is known, of the domain that is chosen. */
export async function offerStarters() {
  const place = byId("starters");
  const domain = chosenDomain();
  const stale = () => domain !== chosenDomain() || place.dataset.domain === domain;
  if (stale()) return;
  delete place.dataset.domain;
  place.replaceChildren();
  let found;
  try {
    found = await search("", { limit: STARTERS });
  } catch {
    return; // the page works without
  }
  if (!found.data.length || stale()) return;
  place.dataset.domain = domain;
  const tiles = found.data.map((item) => starter(item));
  place.replaceChildren(
    el("h2", { class: "starters-title", text: `Or begin with ${chosenNoun().many} you like` }),
    el("ul", { class: "starters" }, tiles),
    el("p", { class: "muted", text: `Out of ${counted(found.total, chosenNoun())}; search for others in “What you like”.` }),
  );
}

function starter(item) {
  const press = el("button", { type: "button", class: "starter", "data-id": item.item_id, "aria-pressed": String(isLiked(item.item_id)) }, poster(item.item_id, item.title), el("span", { class: "starter-title", dir: "auto", text: item.title }), icon("heart"));
  press.addEventListener("click", () => (isLiked(item.item_id) ? unlike(item.item_id) : like(item)));
  return el("li", {}, press);
}
