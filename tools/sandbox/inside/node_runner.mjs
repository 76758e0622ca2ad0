// One call of a JavaScript or TypeScript tool: reads job.json in its folder, answers on descriptor 3.
import { readFileSync, writeFileSync, unlinkSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import * as nodeModule from "node:module";
import { pathToFileURL } from "node:url";
import vm from "node:vm";
import util from "node:util";

const RESULT = 3;
const job = JSON.parse(readFileSync("job.json", "utf8"));
unlinkSync("job.json");

function tell(answer) {
  let data = Buffer.from(JSON.stringify(answer));
  while (data.length) data = data.subarray(writeSync(RESULT, data));
}

function plain(value) {
  if (value === undefined) return "null";
  return JSON.stringify(value, function (key, each) {
    if (typeof each === "bigint") return each.toString();
    if (typeof each === "function" || typeof each === "symbol") return String(each);
    if (each instanceof Map) return Object.fromEntries(each);
    if (each instanceof Set) return [...each];
    return each;
  }) ?? JSON.stringify(String(value));
}

function source() {
  if (job.language === "javascript") return job.source;
  if (nodeModule.stripTypeScriptTypes) return nodeModule.stripTypeScriptTypes(job.source, { mode: "transform" });
  throw new SyntaxError(`TypeScript needs Node 22.13 or newer; this server has ${process.version}.`);
}

async function asScript(text) {
  const require = createRequire(pathToFileURL(process.cwd() + "/"));
  Object.assign(globalThis, { require });
  try {
    return await vm.runInThisContext(text, { filename: "script.js" });
  } catch (error) {
    if (!(error instanceof SyntaxError) || !/await|import/.test(text)) throw error;
  }
  // `await` and `import` at the top level are for modules, which have no value.
  writeFileSync("script.mjs", text);
  await import(pathToFileURL(process.cwd() + "/script.mjs"));
}

async function asFunction(text) {
  const name = job.function;
  writeFileSync("tool.mjs", `${text}\n;export { ${name} as __ade_function };\n`);
  const loaded = await import(pathToFileURL(process.cwd() + "/tool.mjs"));
  const made = loaded.__ade_function;
  if (typeof made !== "function") throw new TypeError(`${name} is not a function.`);
  return await made(...ordered(made, job.arguments));
}

// Parameters by name: arguments cross as an object, a function takes them in order.
function ordered(made, values) {
  return parameters(made.toString()).map((each) => {
    if (each.startsWith("{")) return values; // it takes them apart itself
    return Object.hasOwn(values, each) ? values[each] : undefined;
  });
}

// The names in the head of a function. A default may hold commas, brackets and texts of its own.
function parameters(text) {
  const single = /^(?:async\s+)?([\w$]+)\s*=>/.exec(text);
  if (single) return [single[1]];
  const names = [];
  let depth = 0;
  let part = "";
  for (let at = text.indexOf("("); at < text.length; at++) {
    const sign = text[at];
    const skipped = /^(?:\/\/[^\n]*|\/\*[\s\S]*?\*\/|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`(?:\\[\s\S]|[^`\\])*`)/.exec(text.slice(at, at + 10_000))?.[0];
    if (skipped) {
      part += skipped.startsWith("/") ? " " : "''";
      at += skipped.length - 1;
      continue;
    }
    if ("([{".includes(sign) && depth++ === 0) continue;
    if (")]}".includes(sign)) depth--;
    if (depth === 0 || (depth === 1 && sign === ",")) {
      names.push(part.split("=")[0].trim());
      part = "";
      if (depth === 0) break;
    } else part += sign;
  }
  // Nothing may follow the last comma.
  return names.at(-1) === "" ? names.slice(0, -1) : names;
}

try {
  const text = source();
  if (job.function === null) {
    const value = await asScript(text);
    tell({ value: JSON.stringify(value === undefined ? null : util.inspect(value)), changed_blocks: {} });
  } else {
    tell({ value: plain(await asFunction(text)), changed_blocks: {} });
  }
} catch (error) {
  const kind = error instanceof SyntaxError ? "syntax" : "exception";
  const name = error?.name ?? "Error";
  process.stderr.write(`${error?.stack ?? error}\n`);
  tell({ error: [kind, String(name), String(error?.message ?? error).slice(0, 4000)] });
}
process.exit(0);
