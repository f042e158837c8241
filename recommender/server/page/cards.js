// A card of the list: picture, title, attributes, player, reason, and what can be said of it.

import { announce, button, el, roundButton } from "./dom.js";
import { byline, fillPoster, poster, remembered } from "./items.js";
import { justification } from "./claims.js";
import { player } from "./player.js";
import { isLiked } from "./state.js";

/** Make a card. `actions`: {like, why, helpful, wrong, hide}, each called with the card. */
export function makeCard(item, actions) {
  const card = new Card(item, actions);
  card.describe();
  return card;
}

class Card {
  constructor(item, actions) {
    this.item = item;
    this.node = el("li", { class: "card" });
    const title = el("h3", { class: "title", dir: "auto", tabindex: "-1", text: item.title });
    this.title = title;
    this.rank = el("span", { class: "rank", "aria-hidden": "true" });
    this.picture = poster(item.item_id, item.title);
    this.byline = el("ul", { class: "byline", "aria-label": "Attributes" });
    this.sound = el("div", { class: "sound" });
    this.reason = el("div", { class: "reason" });
    const act = (name) => () => actions[name](this);
    this.why = button("why", "Why this", act("why"), { "aria-haspopup": "dialog" });
    this.like = roundButton("heart", `Like ${item.title}`, act("like"), { class: "round like" });
    this.helpful = button("up", "Helpful", act("helpful"), { "aria-pressed": "false" });
    this.wrong = button("flag", "Wrong", act("wrong"), { "aria-pressed": "false" });
    this.hide = button("hide", "Not for me", act("hide"));
    const tools = el("div", { class: "card-tools", role: "group" }, this.why, this.helpful, this.wrong, this.hide);
    this.tools = tools;
    const body = el("div", { class: "card-body" }, el("div", { class: "card-head" }, this.rank, title, this.like), this.byline, this.sound, this.reason);
    this.node.append(this.picture, body, tools);
    this.update(item);
  }

  /** Show what was ranked anew: place, and the reason if there is one. */
  update(item) {
    const old = this.item;
    this.item = { ...item, justification: item.justification ?? null };
    this.rank.textContent = item.rank;
    this.title.textContent = item.title;
    this.node.dataset.id = item.item_id;
    this.tools.setAttribute("aria-label", `Of ${item.title}`);
    if (!item.justification && old.justification && old.item_id === item.item_id) this.reason.classList.add("old");
    this.like.disabled = isLiked(item.item_id);
    if (item.justification) this.justify(item);
  }

  /** Show that a reason is being written. */
  wait() {
    if (this.item.justification || this.reason.classList.contains("old")) return;
    this.reason.replaceChildren(el("p", { class: "writing", "aria-label": "The reason is being written" }));
  }

  /** Show that no reason will come. */
  stopWaiting() {
    this.reason.querySelector(".writing")?.remove();
    this.reason.classList.remove("old");
  }

  /** Show a reason. */
  justify(item) {
    this.item = { ...this.item, ...item };
    this.reason.classList.remove("old");
    this.reason.replaceChildren(justification(this.item));
    this.reason.dataset.generated = item.written_by;
    for (const one of [this.helpful, this.wrong]) one.setAttribute("aria-pressed", "false");
  }

  /** Show what the catalogue says of the item. */
  describe() {
    const details = remembered(this.item.item_id);
    if (!details) return;
    this.byline.replaceChildren(...byline(details).map((text) => el("li", { text, dir: "auto" })));
    fillPoster(this.picture, details);
    if (details.audio && !this.sound.firstChild) this.sound.append(player(details.audio, details.title));
  }

  /** Mark an opinion that was given. */
  mark(name, words) {
    this[name].setAttribute("aria-pressed", "true");
    announce(words);
  }
}
