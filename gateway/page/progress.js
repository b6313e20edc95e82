// Cards with the progress of a job: how far, how fast, what failed and why, and a button to cancel it.

import * as api from "./api.js";
import { byId, count, el } from "./elements.js";

const NAMES_SHOWN = 5;
const STATES = { done: "Done", failed: "Stopped", cancelled: "Cancelled" };

/** Shows a job with its card until it ends; `onChanged(collection, isAtEnd)` is called with each change. */
export function followed(job, onChanged, parent = byId("progress")) {
  const card = cardOf(job, parent);
  let latest = job;
  card.show(job);
  api.followJob(job.id, (change) => {
    latest = { ...latest, ...change };
    card.show(latest);
    onChanged(job.collection, latest.state !== "running");
  });
}

/** The card of a job, in front of those that are there. */
export function cardOf(job, parent) {
  return new ProgressCard(titleOf(job), job.folder, () => api.cancelJob(job.id).catch(() => null), parent);
}

function titleOf({ kind, collection, encoder, folder }) {
  if (kind === "scrub") return `${collection}: damage`;
  return kind === "reindex" ? `${collection} → ${encoder || "the embeddings before"}` : `${lastPart(folder)} → ${collection}`;
}

const lastPart = (path) => path.split("/").filter(Boolean).pop() ?? path;

export class ProgressCard {
  /** `explanation` is the tooltip of the title; `onCancel` stops the work; a card whose work has ended can be dismissed. */
  constructor(title, explanation, onCancel, parent = byId("progress")) {
    this.isAtEnd = false;
    this.bar = el("progress", { "aria-label": title });
    this.line = el("p", { className: "progress-line", role: "status" });
    this.failures = details("failures");
    this.warnings = details();
    this.leftOut = details();
    this.button = el("button", { type: "button", className: "quiet", onclick: () => this.#press(onCancel) }, "Cancel");
    this.node = el("article", { className: "progress" },
      el("div", { className: "progress-head" }, el("h3", { title: explanation }, title), this.button), this.bar, this.line, this.failures, this.warnings, this.leftOut);
    parent.prepend(this.node);
  }

  /** Shows a job as the gateway reports it. */
  show(job) {
    const answered = job.done + job.failed;
    const isRunning = job.state === "running";
    if (isRunning && job.phase === "scanning") this.bar.removeAttribute("value");
    else Object.assign(this.bar, { max: Math.max(1, job.total), value: isRunning ? answered : job.total ? answered : 1 });
    this.line.textContent = isRunning ? underWay(job, answered) : summary(job);
    this.node.dataset.state = job.failed && job.state === "done" ? "partial" : job.state;
    const unlisted = job.failed - job.failures.length;
    const failures = job.failures.map(failureLine);
    if (unlisted > 0) failures.push(el("li", {}, `and ${unlisted} more`));
    if (job.kind === "scrub") fill(this.failures, job.damaged, "image", "damaged", job.findings.map(findingOf));
    else fill(this.failures, job.kind === "reindex" ? 0 : job.failed, "image", "not taken", failures);
    fill(this.warnings, total(job.warnings), "image", "with a remark", job.warnings?.map(reasonLine));
    fill(this.leftOut, total(job.left_out), "file", "left out", job.left_out?.map(reasonLine));
    if (isRunning) return;
    this.isAtEnd = true;
    this.bar.hidden = true;
    this.button.disabled = false;
    this.button.textContent = "Dismiss";
  }

  #press(onCancel) {
    if (this.isAtEnd) {
      this.node.remove();
      return;
    }
    this.button.disabled = true;
    onCancel();
  }
}

const details = (className = "") => el("details", { hidden: true, className }, el("summary"), el("ul"));
const fileName = (uri) => el("strong", { title: uri }, uri.split("/").pop());
const failureLine = ({ uri, reason }) => el("li", {}, fileName(uri), ` ${api.sentence(reason)}`);
const total = (findings) => (findings ?? []).reduce((sum, finding) => sum + finding.count, 0);

/** Shows lines about `number` things that were `what`; hides the node where there are none. */
function fill(node, number, word, what, lines = []) {
  node.hidden = !number;
  node.querySelector("summary").textContent = `${count(number, word)} ${what}`;
  node.querySelector("ul").replaceChildren(...lines);
}

const findingOf = ({ image_id: imageId, damage, repaired, detail }) =>
  el("li", {}, el("strong", {}, damage), ` ${api.sentence(detail || imageId)}${repaired ? " Repaired." : ""}`);

/** One reason with the first of its files. */
function reasonLine({ reason, count: number, uris }) {
  const names = uris.slice(0, NAMES_SHOWN).flatMap((uri, position) => [position ? ", " : " ", fileName(uri)]);
  const more = number > NAMES_SHOWN ? ` and ${number - NAMES_SHOWN} more` : "";
  return el("li", {}, `${number} × ${api.sentence(reason)}`, names, more);
}

function underWay(job, answered) {
  if (job.phase === "pruning") return "Looking for images whose files are gone…";
  if (job.phase === "scanning") return `Looking for images… ${job.total} so far`;
  const failed = job.failed ? ` · ${job.failed} failed` : "";
  return `${answered} of ${count(job.total, "image")} · ${job.rate.toFixed(job.rate < 10 ? 1 : 0)} a second${timeLeft(job, answered)}${failed}`;
}

/** How long the rest takes at the rate so far. */
function timeLeft(job, answered) {
  if (!job.rate || answered >= job.total) return "";
  const left = (job.total - answered) / job.rate;
  if (left < 90) return ` · about ${Math.ceil(left)} s left`;
  return left < 5400 ? ` · about ${Math.ceil(left / 60)} min left` : ` · about ${(left / 3600).toFixed(1)} h left`;
}

function summary(job) {
  if (job.kind === "scrub") return scrubSummary(job);
  if (job.kind === "reindex") return moveSummary(job);
  if (job.state === "done" && !job.total && !job.pruned) return "There is no image in this folder.";
  const kinds = ["added", "updated", "unchanged"].filter((kind) => job[kind]).map((kind) => `${job[kind]} ${kind}`);
  if (job.failed) kinds.push(`${job.failed} not taken`);
  if (job.pruned) kinds.push(`${job.pruned} removed, as their files are gone`);
  const searched = job.searched_for_objects;
  const without = searched ? ` No object in ${job.without_objects} of ${count(searched, "image")}.` : "";
  const detail = job.detail ? ` ${api.sentence(job.detail)}` : "";
  return `${STATES[job.state]}: ${kinds.join(", ") || "nothing was taken"} in ${job.elapsed_s.toFixed(1)} s.${without}${detail}`;
}

function scrubSummary({ state, detail, done, damaged, repaired, elapsed_s: elapsed }) {
  const repairs = repaired ? `, ${repaired} of them repaired` : "";
  return `${STATES[state]}: ${count(done, "image")} checked, ${damaged || "none"} damaged${repairs} in ${elapsed.toFixed(1)} s.${detail ? ` ${api.sentence(detail)}` : ""}`;
}

function moveSummary(job) {
  if (job.state !== "done") return `${STATES[job.state]}: ${api.sentence(job.detail)}`;
  return `Done: ${count(job.done, "image")} embedded${job.encoder ? ` with ${job.encoder}` : ""} in ${job.elapsed_s.toFixed(1)} s.`;
}
