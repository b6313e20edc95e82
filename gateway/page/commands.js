// The query as a command: curl, grpcurl or Python, for those who go on without the page.

import { requestOf } from "./query.js";

export const LANGUAGES = { curl, grpcurl, Python: python };

/** The query in this language; an image of one's own is named as the file it came from. */
export async function commandOf(language, collection, query) {
  const files = [];
  const fileOf = (part) => {
    const name = part.kind === "sketch" ? "sketch.png" : (part.name ?? `${part.id ?? "image"}.jpg`);
    files.push(name);
    return Promise.resolve(`@@${files.length - 1}@@`);
  };
  const request = await requestOf(query, collection, fileOf);
  return LANGUAGES[language](collection, request, files);
}

const shellQuoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** JSON in single quotes for a shell, where each file's base64 stands in the place of its mark. */
const shellJson = (request, files) =>
  shellQuoted(JSON.stringify(request)).replace(/@@(\d+)@@/g, (_, position) => `'"$(base64 < ${shellQuoted(files[position])} | tr -d '\\n')"'`);

function curl(collection, request, files) {
  const body = shellJson(request, files);
  const url = `${location.origin}/api/v1/collections/${collection.name}/search`;
  // Images are longer than a command may be, so curl reads the body from its input.
  return `curl ${url} -H 'Content-Type: application/json' --data-binary @- <<< ${body}`;
}

function grpcurl(collection, request, files) {
  const body = shellJson({ collection: collection.name, ...request }, files);
  return `grpcurl -plaintext -d @ ${location.hostname}:50051 fovea.search.v1.SearchService/Search <<< ${body}`;
}

function python(collection, request, files) {
  const literal = JSON.stringify(request, null, 4)
    .replace(/^(\s*"\w+": )(true|false)(,?)$/gm, (_, key, truth, comma) => key + (truth === "true" ? "True" : "False") + comma)
    .replace(/"@@(\d+)@@"/g, (_, position) => `encoded(${JSON.stringify(files[position])})`);
  const reading = files.length ? ["import base64", "import pathlib", ""] : [];
  const encoded = files.length ? ["def encoded(path):", "    return base64.b64encode(pathlib.Path(path).read_bytes()).decode()", "", ""] : [];
  return [
    ...reading,
    "import httpx",
    "",
    ...encoded,
    `query = ${literal}`,
    `response = httpx.post("${location.origin}/api/v1/collections/${collection.name}/search", json=query)`,
    "response.raise_for_status()",
    'for hit in response.json()["hits"]:',
    '    print(f"{hit[\'score\']:.3f}", hit["uri"])',
  ].join("\n");
}
