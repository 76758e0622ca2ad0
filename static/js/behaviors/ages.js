// Keeps `<time data-age datetime="…">`, and `data-until` for a moment to come, true while the page is open. Words as letta_ade/web/template_tags.py has them.
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

export function age(then, now = new Date()) {
  const seconds = Math.floor((now - then) / 1000);
  if (seconds < 5) return "now";
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h`;
  if (seconds < 30 * 86400) return `${Math.floor(seconds / 86400)} d`;
  const day = `${then.getUTCDate()} ${MONTHS[then.getUTCMonth()]}`;
  return then.getUTCFullYear() === now.getUTCFullYear() ? day : `${day} ${then.getUTCFullYear()}`;
}

function refresh() {
  for (const time of document.querySelectorAll("time[data-age]")) {
    const text = age(new Date(time.dateTime));
    if (time.textContent !== text) time.textContent = text;
  }
  const now = Date.now();
  for (const time of document.querySelectorAll("time[data-until]")) {
    const text = age(new Date(2 * now - new Date(time.dateTime)), new Date(now));
    if (time.textContent !== text) time.textContent = text;
  }
}

setInterval(() => document.hidden || refresh(), 5000);
document.addEventListener("visibilitychange", () => document.hidden || refresh());
