// Fills a collection with a folder of images and asks it with the first one: search.js SEARCH INGEST FOLDER.
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";

import { IngestService, IngestStatus } from "./gen/fovea/ingest/v1/ingest_pb.js";
import { SearchService } from "./gen/fovea/search/v1/search_pb.js";

const collection = "example_typescript";
const timeoutMs = 60_000;

const [searchAddress, ingestAddress, folder] = process.argv.slice(2);
if (folder === undefined) {
  throw new Error("usage: search.js SEARCH INGEST FOLDER");
}
const names = (await readdir(folder)).filter((name) => name.endsWith(".jpg")).sort();
const images = names.map((name) => join(folder, name));
const search = createClient(SearchService, createGrpcTransport({ baseUrl: `http://${searchAddress}` }));
const ingest = createClient(IngestService, createGrpcTransport({ baseUrl: `http://${ingestAddress}` }));

// An asynchronous generator is read as fast as the service takes the images.
async function* items() {
  for (const uri of images) {
    yield { collection, item: { uri, image: await readFile(uri) } };
  }
}

await ingest.createCollection({ collection: { name: collection } }, { timeoutMs });
try {
  for await (const result of ingest.ingest(items(), { timeoutMs })) {
    console.log(IngestStatus[result.status], result.uri, result.error?.message ?? "");
  }
  const image = await readFile(images[0]);
  const parts = [{ content: { case: "image" as const, value: image } }];
  const response = await search.search({ collection, parts, limit: 3 }, { timeoutMs });
  for (const hit of response.hits) {
    console.log(hit.score.toFixed(3), hit.uri);
  }
} finally {
  await ingest.deleteCollection({ name: collection }, { timeoutMs });
}
