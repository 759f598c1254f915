// Writes the types of an OpenAPI document: node generate.ts DOCUMENT TYPES
// Files are Blobs; else as `npx openapi-typescript DOCUMENT -o TYPES` writes them.

import { readFile, writeFile } from "node:fs/promises";
import openapiTS, { astToString } from "openapi-typescript";
import ts from "typescript";

const [document = "", types = ""] = process.argv.slice(2);
const blob = ts.factory.createTypeReferenceNode("Blob");
const nodes = await openapiTS(await readFile(document, "utf8"), {
  transform: (schema) => (schema.format === "binary" ? blob : undefined),
});
await writeFile(types, astToString(nodes));
