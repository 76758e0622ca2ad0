// What was typed and not sent, kept by this tab until it is closed.
export function read(key) {
  try {
    return sessionStorage.getItem(key);
  } catch {
    return null; // storage is off: the field keeps the text until the page is left
  }
}

export function write(key, value) {
  try {
    if (value) sessionStorage.setItem(key, value);
    else sessionStorage.removeItem(key);
  } catch {
    // as above
  }
}
