// What the page knows: of the person in this browser's storage, of the model from the server.

const STORED = "recommender.person";
const DRAFT = "recommender.draft";
/** Items of a history that are kept: a model reads the last few dozen. */
const MOST_LIKED = 200;

/** `likes` (detail: none), `switches`, `domain` and `forgotten`: what changed. */
export const changes = new EventTarget();

/** Of the model; filled from page/about.json. */
export const about = {
  model: "",
  items: 0,
  noun: { one: "item", many: "items" },
  domains: [],
  nouns: {},
  hears: true,
  sees: true,
  keeps_feedback: true,
  limits: { body_bytes: 4_000_000, message_chars: 20_000, media: 16, sound_seconds: 60 },
};

/** Of the person: `likes` oldest first, `hidden`: ids that are not for them, `without`: parts that are switched off,
 * `domain`: the one of several that the list is of, "" for all. */
export const person = { user: newUser(), likes: [], hidden: [], without: [], domain: "" };

function newUser() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return `page-${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/** Read what was kept; what is not as it was written is left out. */
export function load() {
  try {
    const kept = JSON.parse(localStorage.getItem(STORED) ?? "{}");
    if (typeof kept.user === "string") person.user = kept.user;
    if (Array.isArray(kept.likes)) person.likes = kept.likes.filter((item) => typeof item?.item_id === "string" && typeof item.title === "string");
    if (typeof kept.domain === "string") person.domain = kept.domain;
    for (const name of ["hidden", "without"]) {
      if (Array.isArray(kept[name])) person[name] = kept[name].filter((text) => typeof text === "string");
    }
  } catch {
    // nothing was kept, or nothing may be
  }
  save();
}

function save() {
  try {
    localStorage.setItem(STORED, JSON.stringify(person));
  } catch {
    // a browser that keeps nothing forgets at the end of the tab
  }
}

function changed(name) {
  save();
  changes.dispatchEvent(new Event(name));
}

export const history = () => person.likes.map((item) => item.item_id);
export const isLiked = (id) => person.likes.some((item) => item.item_id === id);

export function like({ item_id, title }) {
  if (isLiked(item_id)) return;
  person.likes = [...person.likes, { item_id, title }].slice(-MOST_LIKED);
  person.hidden = person.hidden.filter((id) => id !== item_id);
  changed("likes");
}

export function unlike(id) {
  person.likes = person.likes.filter((item) => item.item_id !== id);
  changed("likes");
}

/** Drop liked items that the catalogue does not have any more, without telling anybody. */
export function keepOnly(ids) {
  const known = new Set(ids);
  person.likes = person.likes.filter((item) => known.has(item.item_id));
  person.hidden = person.hidden.filter((id) => known.has(id));
  save();
}

/** Never list an item again. The list is told by who calls. */
export function hide(id) {
  if (!person.hidden.includes(id)) person.hidden = [...person.hidden, id].slice(-MOST_LIKED);
  save();
}

export function switchPart(name, on) {
  person.without = person.without.filter((part) => part !== name);
  if (!on) person.without.push(name);
  changed("switches");
}

/** The domain that is chosen, "" for all; one that this catalogue does not have is none. */
export const chosenDomain = () => (about.domains.includes(person.domain) ? person.domain : "");

/** What is searched and offered: the domain that is chosen, or the whole catalogue. */
export const chosenNoun = () => about.nouns[chosenDomain()] ?? about.noun;

export function switchDomain(name) {
  person.domain = name;
  changed("domain");
}

export function forget() {
  Object.assign(person, { user: newUser(), likes: [], hidden: [], without: [], domain: "" });
  keepDraft("");
  changed("forgotten");
}

export function draft() {
  try {
    return sessionStorage.getItem(DRAFT) ?? "";
  } catch {
    return "";
  }
}

export function keepDraft(text) {
  try {
    sessionStorage.setItem(DRAFT, text);
  } catch {
    // as above
  }
}

/** Return the fields that say which domains a list is of; several take turns. */
export function domainFields() {
  const chosen = chosenDomain();
  return about.domains.length ? { domains: chosen ? [chosen] : about.domains } : {};
}

/** Return the fields of a request that say who asks, and how. */
export function requestFields() {
  const fields = { history: history(), user: person.user, ...domainFields() };
  if (person.hidden.length) fields.exclude = person.hidden;
  if (person.without.length) fields.without = person.without;
  return fields;
}
