// The server does not know which windows of the transcript are on the page: what is drawn for others goes nowhere.
const GOES_TO = /<\w+ id="([^"]+)"[^>]*? hx-swap-oob="(?:morph|outerHTML|beforeend:#([^"]+))"/g;

htmx.defineExtension("present", {
  transformResponse(text) {
    const absent = [...text.matchAll(GOES_TO)].filter(([, own, place]) => !document.getElementById(place ?? own));
    if (!absent.length) return text;
    const html = document.createElement("template");
    html.innerHTML = text;
    for (const [, own] of absent) html.content.getElementById(own)?.remove();
    return html.innerHTML;
  },
});
