// The drawer: why this, why not that one, what if. Everything in it is measured by changing what the model is given.

import { json } from "./api.js";
import { justification } from "./claims.js";
import { announce, byId, el, worded } from "./dom.js";
import { details, poster, quoted } from "./items.js";
import { explained } from "./list.js";
import { failure } from "./notices.js";
import { player } from "./player.js";
import { searchBox } from "./search.js";
import { about, chosenNoun, person } from "./state.js";

const PARTS = { text: "Text", knowledge: "Knowledge", image: "Picture", audio: "Sound", collaborative: "Company" };
const AT_ALL = { text: "any text", knowledge: "any knowledge", image: "any pictures", audio: "any sounds", collaborative: "any company" };
let asking;
let opener;

/** Let the drawer close. */
export function startDrawer() {
  const drawer = byId("drawer");
  byId("drawer-close").addEventListener("click", () => drawer.close());
  drawer.addEventListener("click", (event) => { if (event.target === drawer) drawer.close(); });
  drawer.addEventListener("close", () => {
    asking?.abort();
    for (const one of drawer.querySelectorAll(".player")) one.stop();
    byId("drawer-body").replaceChildren();
    if (opener?.isConnected) opener.focus();
    else byId("list-title").focus();
  });
}

function open(title, from) {
  asking?.abort();
  asking = new AbortController();
  opener = from;
  byId("drawer-title").textContent = title;
  byId("drawer-body").replaceChildren();
  byId("drawer").showModal();
  byId("drawer-title").focus();
  return { body: byId("drawer-body"), signal: asking.signal };
}

const explanation = (kind, fields, signal) => json("/v1/explanations", { body: { ...explained(), kind, ...fields }, signal });

const section = (title, ...content) => el("section", { class: "part-of-why" }, el("h3", { text: title }), ...content);

/** Fill a place with what is asked for, or with a sentence why it cannot be had. */
async function fill(place, work, make) {
  const attempt = async () => {
    place.replaceChildren(el("p", { class: "writing", "aria-label": "Being measured" }));
    try {
      place.replaceChildren(...[make(await work())].flat().filter(Boolean));
    } catch (error) {
      if (error.name === "AbortError") return;
      const cannot = error.code === "not_found" ? "This server does not measure that." : error.message;
      place.replaceChildren(error.status >= 400 && error.status < 500 ? el("p", { class: "muted", text: cannot }) : failure(error.message, attempt));
    }
  };
  await attempt();
}

/** Say why an item is listed. */
export function why(item, from) {
  const { body, signal } = open(item.title, from);
  const head = el("div", { class: "why-head" }, poster(item.item_id, item.title, 480));
  const sentence = item.justification ? justification(item) : el("p", { class: "muted", text: "No reason has been written yet." });
  const measured = el("div", {});
  const media = el("div", {});
  const known = el("div", {});
  head.append(el("div", {}, el("p", { class: "muted", text: `Place ${item.rank} of your list` }), sentence));
  body.append(head, measured, media);
  if (person.likes.length > 1) body.append(changing(signal));
  body.append(known);
  const first = fill(measured, () => explanation("why", { item_id: item.item_id }, signal), (told) => effects(told, item));
  first.then(() => !signal.aborted && fill(media, () => explanation("media", { item_id: item.item_id }, signal), (report) => {
    if (report.history?.length || report.modalities?.length) measured.replaceChildren(...shares(report, item));
    return seen(report, item);
  }));
  fill(known, () => details([item.item_id], signal), (found) => entry(found.get(item.item_id)));
}

/** What `kind: why` tells: bars of history items and of modalities. */
function effects(told, item) {
  if (told.evidence && !item.justification) item = { ...item, ...told };
  const rows = (told.evidence?.influences ?? []).map((one) => ({ name: `“${one.title}”`, value: one.effect }));
  const parts = Object.entries(told.contributions ?? {}).map(([name, value]) => ({ name: PARTS[name] ?? worded(name), value }));
  if (told.query) parts.push({ name: "What you asked for", value: told.query });
  return [
    rows.length > 0 && section(`What your ${about.noun.many} add`, bars(rows), told.rests_on && el("p", { class: "muted", dir: "auto", text: told.rests_on })),
    parts.length > 0 && section("What each part adds", bars(parts)),
    el("p", { class: "fine", text: "Measured by leaving each out and ranking again. The longer the bar, the more it counts." }),
  ];
}

/** What `kind: media` tells of history and modalities, in the place of what `why` told. */
function shares(report, item) {
  const rows = (report.history ?? []).map((one) => ({ name: `“${one.title}”`, value: one.effect }));
  const parts = (report.modalities ?? []).map((one) => ({ name: PARTS[one.name] ?? worded(one.name), value: one.effect, note: one.stable === false ? "not certain" : "" }));
  const place = report.rank ?? item.rank;
  const moved = (report.modalities ?? []).filter((one) => one.rank_without && one.rank_without !== place);
  const still = (report.modalities ?? []).filter((one) => one.rank_without === place);
  const told = [
    ...moved.map((one) => `Without ${AT_ALL[one.name] ?? worded(one.name)} it would stand at place ${one.rank_without}.`),
    still.length > 0 && `Without ${still.map((one) => AT_ALL[one.name] ?? worded(one.name)).join(" or ")} it would stand where it stands.`,
  ].filter(Boolean);
  return [
    rows.length > 0 && section(`What your ${about.noun.many} add`, bars(rows)),
    parts.length > 0 && section("What each part adds", bars(parts), el("ul", { class: "told" }, told.map((text) => el("li", { text })))),
    el("p", { class: "fine", text: methodOf(report) }),
  ].filter(Boolean);
}

function methodOf({ method }) {
  const how = method?.regions ? `${method.regions} values` : "Measured by leaving out";
  return `${worded(how)}${method?.evaluations ? ` from ${method.evaluations.toLocaleString("en")} rankings` : ""}. The longer the bar, the more it counts.`;
}

/** Bars to both sides of a line; `rows`: {name, value in nats, note}. */
function bars(rows) {
  const most = Math.max(...rows.map(({ value }) => Math.abs(value)), 0.01);
  return el("ul", { class: "bars" }, [...rows].sort((a, b) => b.value - a.value).map(({ name, value, note }) => {
    const fill = el("span", { class: value < 0 ? "bar-fill against" : "bar-fill" });
    fill.style.width = `${Math.max(1, Math.round((100 * Math.abs(value)) / most))}%`;
    return el("li", { title: `${value.toFixed(2)} nats` }, el("span", { class: "bar-name", dir: "auto", text: name }), el("span", { class: "bar", "aria-hidden": "true" }, fill), el("span", { class: "bar-words", text: [times(value), note].filter(Boolean).join(", ") }));
  }));
}

/** Return nats as a factor: how many times as likely. */
function times(nats) {
  const factor = Math.exp(Math.abs(nats));
  if (factor < 1.05) return "no change";
  return `${factor < 10 ? factor.toFixed(1) : Math.round(factor).toLocaleString("en")}× ${nats < 0 ? "less" : "more"} likely`;
}

/** What the regions of the picture and the seconds of the sound add. */
function seen(report, item) {
  return [report.picture && picture(report.picture, report, item), report.sound && sound(report.sound, report, item)];
}

function withoutIt(name, part, report, item) {
  const place = report.rank ?? item.rank;
  if (!part.rank_without) return null;
  const words = part.rank_without === place ? `it would stand at place ${place} all the same` : `it would stand at place ${part.rank_without}`;
  return el("p", { class: "counterfactual", text: `Without this ${name} ${words}.` });
}

function picture(part, report, item) {
  const [rows, columns] = part.grid ?? [0, 0];
  const strongest = rows ? where(part.values, rows, columns) : "";
  const map = part.png && el("img", { src: `data:image/png;base64,${part.png}`, alt: `Heat map over the picture of ${report.title ?? item.title}${strongest && `: most counts ${strongest}`}` });
  const note = ["Orange speaks for it, blue against it.", strongest && `Most counts ${strongest}.`, part.unstable && "Other samples showed another map, so take it with care."].filter(Boolean).join(" ");
  return section("What counts in the picture", el("figure", { class: "heat" }, map, el("figcaption", { text: note })), withoutIt("picture", part, report, item));
}

/** Return in words where the largest value of a grid lies. */
function where(values, rows, columns) {
  let best = [0, 0];
  values.forEach((line, row) => line.forEach((value, column) => { if (value > values[best[0]][best[1]]) best = [row, column]; }));
  const third = (at, of, names) => names[Math.min(2, Math.floor((3 * (at + 0.5)) / of))];
  const words = `${third(best[0], rows, ["top ", "", "bottom "])}${third(best[1], columns, ["left", "middle", "right"])}`;
  return words === "middle" ? "the middle" : `what is at the ${words}`;
}

function sound(part, report, item) {
  const title = report.title ?? item.title;
  const play = el("div", {});
  const best = Math.max(...part.windows.map(({ value }) => value));
  details([part.item_id ?? item.item_id]).then((found) => {
    const audio = found.get(part.item_id ?? item.item_id)?.audio;
    if (audio) play.append(player(audio, title));
  }).catch(() => {});
  const clock = (seconds) => `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;
  const windows = part.windows.map(({ start, end, value }) => {
    const words = `${clock(start)} – ${clock(end)}`;
    const press = el("button", { type: "button", class: value === best ? "window strongest" : "window", title: `${value.toFixed(2)} nats`, "aria-label": `Play ${words}, ${times(value)}` }, words);
    press.addEventListener("click", () => play.firstChild?.playWindow(start, end));
    return el("li", {}, press);
  });
  const wave = part.png && el("img", { src: `data:image/png;base64,${part.png}`, alt: `Wave of the sound of ${title} with its marked seconds` });
  return section("What counts in the sound", el("figure", { class: "heat wide" }, wave), play, el("ul", { class: "windows", "aria-label": "Seconds" }, windows), withoutIt("sound", part, report, item));
}

function entry(item) {
  if (!item) return null;
  const rows = Object.entries(item.attributes ?? {}).flatMap(([name, values]) => [el("dt", { text: worded(name) }), el("dd", { dir: "auto", text: [values].flat().join(", ") })]);
  return section(`About this ${about.noun.one}`, item.text && el("p", { dir: "auto", text: item.text }), el("dl", {}, rows));
}

/** What the list would be, had some of the liked items never been seen. */
function changing(signal) {
  const answer = el("div", { "aria-live": "polite" });
  const boxes = [...person.likes].reverse().map((item) => {
    const box = el("input", { type: "checkbox", value: item.item_id });
    return el("li", {}, el("label", { class: "check" }, box, el("span", { dir: "auto", text: item.title })));
  });
  const list = el("ul", { class: "checks" }, boxes);
  list.addEventListener("change", () => {
    const removed = [...list.querySelectorAll("input:checked")].map((box) => box.value);
    if (!removed.length) return answer.replaceChildren();
    return fill(answer, () => explanation("what_if", { removed }, signal), shifted);
  });
  return section("What if you had not liked …", list, answer);
}

function shifted(told) {
  const line = (words, items) => items?.length > 0 && el("p", {}, el("strong", { text: `${words}: ` }), el("span", { dir: "auto", text: quoted(items) }));
  return [el("p", { dir: "auto", text: told.text }), line("New on the list", told.entered), line("No longer on it", told.left)];
}

/** Ask what if, of the whole list. */
export function whatIf(from) {
  const { body, signal } = open("What if …?", from);
  if (!person.likes.length) {
    body.append(el("p", { text: `Add ${about.noun.many} to what you like first; then you can see what each of them changes.` }));
    return;
  }
  body.append(el("p", { class: "muted", text: "Choose what shall not have been there. Your list stays as it is." }), changing(signal));
}

/** Ask why an item is not on the list. */
export function whyNot(from) {
  const { body, signal } = open("Why not …?", from);
  const answer = el("div", { class: "why-not", "aria-live": "polite" });
  const box = searchBox((noun) => `Which ${noun.one}?`, (item) => {
    announce(`Asking why not ${item.title}.`);
    fill(answer, () => explanation("why_not", { item_id: item.item_id }, signal), (told) => notListed(told));
  });
  body.append(el("p", { class: "muted", text: `Search the ${chosenNoun().one} that you miss.` }), box, answer);
  box.field.focus();
}

function notListed(told) {
  const changes = (told.changes ?? []).map((change) => {
    const parts = [change.removed?.length > 0 && `without ${quoted(change.removed)}`, change.added?.length > 0 && `with ${quoted(change.added)}`];
    return el("li", { dir: "auto", text: parts.filter(Boolean).join(" and ") });
  });
  const head = el("div", { class: "why-head" }, poster(told.item_id, told.title), el("div", {}, el("h3", { dir: "auto", text: told.title }), told.rank && el("p", { class: "place" }, el("strong", { text: told.rank.toLocaleString("en") }), " its place now")));
  return [head, el("p", { dir: "auto", text: told.text }), changes.length > 0 && section("It would be listed", el("ul", { class: "told" }, changes))];
}
