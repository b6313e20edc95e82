// The results as a file: ids, scores and addresses, as CSV or JSON.

import { el } from "./elements.js";

const COLUMNS = ["image_id", "uri", "score", "confidence", "label"];

/** Has the browser save the hits that are loaded. */
export function save(hits, format, name) {
  const text = format === "csv" ? csv(hits) : JSON.stringify(hits.map(row), null, 2);
  const url = URL.createObjectURL(new Blob([text], { type: format === "csv" ? "text/csv" : "application/json" }));
  el("a", { href: url, download: `${name}.${format}` }).click();
  URL.revokeObjectURL(url);
}

const row = (hit) => Object.fromEntries(COLUMNS.filter((column) => hit[column] !== undefined && hit[column] !== "").map((column) => [column, hit[column]]));

function csv(hits) {
  const columns = COLUMNS.filter((column) => hits.some((hit) => hit[column] !== undefined && hit[column] !== ""));
  const lines = [columns, ...hits.map((hit) => columns.map((column) => cell(hit[column])))];
  return lines.map((line) => `${line.join(",")}\r\n`).join("");
}

function cell(value) {
  if (typeof value !== "string") return value ?? "";
  // A spreadsheet would run what begins like a formula.
  const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
