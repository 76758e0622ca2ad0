// The arguments of the last runs of each tool, kept by this browser: the newest first, each set of arguments once.
const MOST = 8;
const MOST_CHARACTERS = 20_000;

export function read(key) {
  try {
    const kept = JSON.parse(localStorage.getItem(name(key)) ?? "[]");
    return Array.isArray(kept) ? kept : [];
  } catch {
    return []; // storage is off, or holds something else
  }
}

export function write(key, run) {
  const text = JSON.stringify(run.arguments);
  if (text.length > MOST_CHARACTERS) return;
  const others = read(key).filter((each) => JSON.stringify(each.arguments) !== text);
  try {
    localStorage.setItem(name(key), JSON.stringify([run, ...others].slice(0, MOST)));
  } catch {
    // as above, or it is full
  }
}

function name(key) {
  return `tool-runs:${key}`;
}
