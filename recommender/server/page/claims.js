// A justification as text whose checked claims are underlined; a claim that is touched or focused shows its evidence.

import { byId, el, listed, worded } from "./dom.js";
import { remembered } from "./items.js";
import { about } from "./state.js";

let shown; // the claim whose evidence is shown

/** Return the text of a justification. `item`: as ranked, with its evidence. */
export function justification(item) {
  const text = item.justification ?? "";
  const line = el("p", { class: "justification", dir: "auto" });
  let at = 0;
  const marks = [];
  for (const claim of placed(item.evidence?.claims ?? [], text)) {
    line.append(text.slice(at, claim.start));
    marks.push(mark(claim, text.slice(claim.start, claim.end), item));
    line.append(marks.at(-1));
    at = claim.end;
  }
  line.append(text.slice(at));
  roving(line, marks);
  return line;
}

/** Return the claims in order, each with its place; those that overlap an earlier one, or are not in the text, are left out. */
function placed(claims, text) {
  const found = [];
  for (const claim of claims.filter((one) => one.true !== false)) {
    const start = codeUnits(text, claim.start);
    const end = codeUnits(text, claim.end);
    if (end > start) found.push({ ...claim, start, end });
  }
  found.sort((a, b) => a.start - b.start || b.end - a.end);
  return found.filter((claim, n) => found.slice(0, n).every((before) => before.end <= claim.start));
}

/** Return a place that the server counts in characters as JavaScript counts: some characters are two units. */
const codeUnits = (text, characters) => [...text].slice(0, characters ?? 0).join("").length;

/** Make a claim that can be touched and focused. */
function mark(claim, text, item) {
  const node = el("span", { class: "claim", role: "button", tabindex: "-1", text, "aria-expanded": "false" });
  const open = () => show(node, lines(claim, item));
  node.addEventListener("focus", open);
  node.addEventListener("mouseenter", open);
  node.addEventListener("click", () => { node.focus(); open(); });
  node.addEventListener("blur", hideEvidence);
  node.addEventListener("mouseleave", () => { if (document.activeElement !== node) hideEvidence(); });
  return node;
}

/** Let the claims of one text be one stop of the Tab key; the arrow keys go from claim to claim. */
function roving(line, marks) {
  if (marks.length) marks[0].tabIndex = 0;
  line.addEventListener("keydown", (event) => {
    const at = marks.indexOf(document.activeElement);
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (at < 0 || !step) return;
    event.preventDefault();
    marks[at].tabIndex = -1;
    const next = marks[(at + step + marks.length) % marks.length];
    next.tabIndex = 0;
    next.focus();
  });
}

/** Return the evidence of a claim, a sentence a line. */
function lines(claim, item) {
  if (claim.kind === "title") return ofTitle(claim, item);
  if (claim.fact) {
    const titles = (claim.items ?? []).map((id) => `“${titleOf(id, item)}”`);
    return [`${worded(claim.fact.name)}: ${claim.fact.value}`, titles.length ? `So the catalogue says of ${listed(titles)}.` : ""];
  }
  if (claim.kind === "deed") return ["It goes by what you like."];
  if (claim.kind === "crowd") return ["Counted among what other people have."];
  return [`${worded(claim.kind)}: “${claim.text}” stands in the catalogue.`];
}

/** Return what is known of a title: what its item adds to the score, and how many people have both. */
function ofTitle(claim, { title, evidence }) {
  const found = influenceOf(claim, evidence);
  if (!found) return ["This is what is recommended."];
  const people = evidence.companions?.find((one) => one.item_id === found.item_id)?.people;
  return [
    "It is among what you like.",
    `Without “${found.title}”, “${title}” would be ${fallen(found.effect)}.`,
    people ? `${people.toLocaleString("en")} people have both.` : "",
  ];
}

/** Return in words how much less likely something is that loses so many nats. */
function fallen(nats) {
  const times = Math.exp(nats);
  return times >= 2 ? `${Math.round(times).toLocaleString("en")} times less likely` : `${Math.max(1, Math.round(100 * (1 - 1 / times)))} % less likely`;
}

function influenceOf(claim, evidence) {
  const influences = evidence?.influences ?? [];
  return influences.find((one) => claim.items?.includes(one.item_id)) ?? influences.find((one) => one.title === claim.text);
}

function titleOf(id, item) {
  if (id === item.item_id) return item.title;
  return item.evidence?.influences?.find((one) => one.item_id === id)?.title ?? remembered(id)?.title ?? id;
}

function show(node, told) {
  hideEvidence();
  const box = byId("evidence");
  box.replaceChildren(el("p", { class: "checked", text: `Checked in the catalogue of ${about.noun.many}` }), ...told.filter(Boolean).map((text) => el("p", { text, dir: "auto" })));
  box.hidden = false;
  const near = node.getClientRects()[0] ?? node.getBoundingClientRect();
  const { width, height } = box.getBoundingClientRect();
  const left = Math.max(8, Math.min(near.left, document.documentElement.clientWidth - width - 8));
  const above = near.top - height - 8;
  box.style.left = `${left}px`;
  box.style.top = `${above > 8 ? above : near.bottom + 8}px`;
  node.setAttribute("aria-expanded", "true");
  node.setAttribute("aria-describedby", "evidence");
  shown = node;
}

/** Take the shown evidence away. */
export function hideEvidence() {
  byId("evidence").hidden = true;
  shown?.setAttribute("aria-expanded", "false");
  shown?.removeAttribute("aria-describedby");
  shown = undefined;
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && shown) {
    event.preventDefault();
    hideEvidence();
  }
});
document.addEventListener("scroll", hideEvidence, { passive: true, capture: true });
