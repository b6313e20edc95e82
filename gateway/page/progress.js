// Cards that show work under way: how far, how fast, what failed and why, and a way to stop it.

import { sentence } from "./api.js";
import { byId, count, el } from "./elements.js";

const STATES = { done: "Done", failed: "Stopped", cancelled: "Cancelled" };

export class ProgressCard {
  /** `explanation` stands behind the title; `onCancel` stops the work; the card can be dismissed once it is over. */
  constructor(title, explanation, onCancel) {
    this.isAtEnd = false;
    this.bar = el("progress", { "aria-label": title });
    this.line = el("p", { className: "progress-line", role: "status" });
    this.reasons = el("ul");
    this.failures = el("details", { hidden: true }, el("summary"), this.reasons);
    this.button = el("button", { type: "button", className: "quiet", onclick: () => this.#press(onCancel) }, "Cancel");
    this.node = el("article", { className: "progress" },
      el("div", { className: "progress-head" }, el("h3", { title: explanation }, title), this.button), this.bar, this.line, this.failures);
    byId("progress").prepend(this.node);
  }

  /** Shows a job, as its route tells it. */
  show(job) {
    const answered = job.done + job.failed;
    const isRunning = job.state === "running";
    if (isRunning && job.phase === "scanning") this.bar.removeAttribute("value");
    else Object.assign(this.bar, { max: Math.max(1, job.total), value: isRunning ? answered : job.total ? answered : 1 });
    this.line.textContent = isRunning ? underWay(job, answered) : summary(job);
    this.node.dataset.state = job.failed && job.state === "done" ? "partial" : job.state;
    this.#showFailures(job);
    if (isRunning) return;
    this.isAtEnd = true;
    this.bar.hidden = true;
    this.button.disabled = false;
    this.button.textContent = "Dismiss";
  }

  #showFailures({ failed, failures }) {
    this.failures.hidden = !failed;
    this.failures.querySelector("summary").textContent = `${count(failed, "picture")} not taken`;
    this.reasons.replaceChildren(...failures.map(({ uri, reason }) =>
      el("li", {}, el("strong", { title: uri }, uri.split("/").pop()), ` ${sentence(reason)}`)));
    if (failed > failures.length) this.reasons.append(el("li", {}, `and ${failed - failures.length} more`));
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

function underWay(job, answered) {
  if (job.phase === "scanning") return `Looking for pictures… ${job.total} so far`;
  const failed = job.failed ? ` · ${job.failed} failed` : "";
  return `${answered} of ${count(job.total, "picture")} · ${job.rate.toFixed(job.rate < 10 ? 1 : 0)} a second${failed}`;
}

function summary(job) {
  if (job.state === "done" && !job.total) return "There is no picture in this folder.";
  const kinds = ["added", "updated", "unchanged"].filter((kind) => job[kind]).map((kind) => `${job[kind]} ${kind}`);
  if (job.failed) kinds.push(`${job.failed} not taken`);
  const detail = job.detail ? ` ${sentence(job.detail)}` : "";
  return `${STATES[job.state]}: ${kinds.join(", ") || "nothing was taken"} in ${job.elapsed_s.toFixed(1)} s.${detail}`;
}
