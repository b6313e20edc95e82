// The offer to move a collection to the default encoder, where its own one has been replaced.

import * as api from "./api.js";
import { byId } from "./elements.js";

export class Suggestion {
  /** `onStarted(job)` is called with the job of a move. */
  constructor(onStarted) {
    this.onStarted = onStarted;
    this.moving = new Set();
    byId("suggestion-yes").addEventListener("click", () => this.#move());
    byId("suggestion-no").addEventListener("click", () => this.#refuse());
  }

  /** Shows the offer for a collection, unless it moves already or people have refused. */
  show(collection, encoders) {
    const { name, encoder, suggested_encoder: suggested } = collection;
    this.collection = collection;
    const isOffered = suggested && !this.moving.has(name) && localStorage.getItem(refusal(collection)) === null;
    byId("suggestion").hidden = !isOffered;
    if (!isOffered) return;
    const purpose = encoders.find((each) => each.name === suggested)?.purpose ?? "";
    byId("suggestion-text").textContent = [
      encoder === suggested
        ? `${name} was made with an earlier version of ${encoder}.`
        : `${name} was made with an encoder that is not served any more; ${suggested} is the default now.`,
      purpose,
      "Its images can be embedded again while you go on searching, and there is a way back.",
    ].filter(Boolean).join(" ");
    byId("suggestion-yes").textContent = `Move to ${suggested}`;
    byId("suggestion-error").textContent = "";
  }

  /** Says that a collection is moving, or has ended to. */
  setMoving(name, isMoving) {
    if (isMoving) this.moving.add(name);
    else this.moving.delete(name);
    if (isMoving && this.collection?.name === name) byId("suggestion").hidden = true;
  }

  async #move() {
    const { name, suggested_encoder: encoder } = this.collection;
    try {
      this.onStarted(await api.reindex(name, { encoder }));
    } catch (error) {
      byId("suggestion-error").textContent = error.message;
    }
  }

  #refuse() {
    localStorage.setItem(refusal(this.collection), "");
    byId("suggestion").hidden = true;
  }
}

const refusal = ({ name, suggested_encoder: suggested }) => `fovea: ${name} not to ${suggested}`;
