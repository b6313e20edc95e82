// The dialog of the system: whether every service and encoder answers, the models, and the jobs.

import * as api from "./api.js";
import { byId, closable, el } from "./elements.js";
import { cardOf, followed } from "./progress.js";

let isReady = false;

/** Shows the state of the system as it is now; each part appears when it is known. */
export function showSystem() {
  const dialog = byId("system-dialog");
  if (!isReady) closable(dialog);
  isReady = true;
  for (const id of ["system-health", "system-models", "system-jobs"]) byId(id).replaceChildren(el(id === "system-health" ? "li" : "p", { className: "hint" }, "Loading…"));
  byId("system-error").textContent = "";
  dialog.showModal();
  for (const show of [showHealth, showModels, showJobs]) show().catch((error) => (byId("system-error").textContent = error.message));
}

async function showHealth() {
  const [{ services }, { processes }] = await Promise.all([api.readiness(), api.capabilities()]);
  const encoders = Object.entries(processes).map(([address, answers]) => [`encoder ${address}`, answers ? "SERVING" : "AWAY"]);
  const rows = [...Object.entries(services), ...encoders];
  byId("system-health").replaceChildren(...rows.map(([name, status]) => {
    const isServing = status === "SERVING";
    return el("li", { className: isServing ? "serving" : "away" }, el("strong", {}, name), ` ${isServing ? "ready" : status.toLowerCase().replaceAll("_", " ")}`);
  }));
}

async function showModels() {
  const { encoders, detectors } = await api.capabilities();
  const rows = [...encoders.map((each) => [each, each.modalities.join(", ")]), ...detectors.map((each) => [each, `${each.labels.length} kinds of objects`])];
  byId("system-models").replaceChildren(el("table", {},
    el("thead", {}, el("tr", {}, ...["Model", "Reads", "Purpose", "Domain", "Licence"].map((title) => el("th", { scope: "col" }, title)))),
    el("tbody", {}, ...rows.map(([model, reads]) => el("tr", {},
      el("th", { scope: "row" }, model.is_default ? `${model.name} (default)` : model.name),
      ...[reads, model.purpose, model.domain, model.license].map((text) => el("td", {}, text || "–")))))));
}

async function showJobs() {
  const jobs = await api.jobs();
  const parent = byId("system-jobs");
  parent.replaceChildren(jobs.length ? "" : el("p", { className: "hint" }, "There were none yet."));
  // The newest first: each card is put before those that are there.
  for (const job of jobs.toReversed()) {
    if (job.state === "running") followed(job, () => {}, parent);
    else cardOf(job, parent).show(job);
  }
}
