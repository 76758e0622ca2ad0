// A `<textarea data-code="python">` becomes an editor; the textarea keeps the text, so that the form works as without it.
// Errors of the source stand in `[data-error-line]` of the element that `data-errors` names, which htmx replaces while one types.
import {
  Compartment,
  EditorState,
  EditorView,
  HighlightStyle,
  bracketMatching,
  defaultKeymap,
  highlightActiveLine,
  highlightActiveLineGutter,
  history,
  historyKeymap,
  indentOnInput,
  indentUnit,
  indentWithTab,
  javascript,
  keymap,
  lineNumbers,
  lintGutter,
  python,
  setDiagnostics,
  syntaxHighlighting,
  tags,
} from "../../vendor/codemirror.js";

const LANGUAGES = { python: () => [python(), indentUnit.of("    ")], typescript: () => [javascript({ typescript: true }), indentUnit.of("  ")] };

const colours = HighlightStyle.define([
  { tag: [tags.keyword, tags.operatorKeyword, tags.modifier, tags.self, tags.null, tags.bool], color: "var(--code-key)" },
  { tag: [tags.string, tags.special(tags.string), tags.docString], color: "var(--code-str)" },
  { tag: tags.number, color: "var(--code-num)" },
  { tag: [tags.function(tags.variableName), tags.definition(tags.variableName), tags.className, tags.typeName, tags.meta], color: "var(--code-fn)" },
  { tag: tags.comment, color: "var(--code-dim)" },
]);

const theme = EditorView.theme({
  "&": { height: "100%", color: "var(--ink)", backgroundColor: "var(--surface)", fontSize: "12.5px" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--font-mono)", lineHeight: "20px", letterSpacing: "0", scrollbarWidth: "thin", scrollbarColor: "var(--border-strong) transparent" },
  ".cm-content": { padding: "6px 0", caretColor: "var(--ink)" },
  ".cm-cursor": { borderLeftColor: "var(--ink)" },
  ".cm-gutters": { backgroundColor: "var(--surface)", color: "var(--ink-3)", border: "none", fontSize: "11px" },
  ".cm-lineNumbers .cm-gutterElement": { padding: "0 10px 0 12px", minWidth: "28px" },
  ".cm-activeLine": { backgroundColor: "color-mix(in srgb, var(--hover) 60%, transparent)" },
  ".cm-activeLineGutter": { backgroundColor: "transparent", color: "var(--ink)" },
  ".cm-matchingBracket": { backgroundColor: "var(--selected)", outline: "none" },
  ".cm-gutter-lint": { width: "12px" },
  ".cm-gutter-lint .cm-gutterElement": { padding: "4px 0 0 2px" },
  ".cm-lint-marker": { width: "8px", height: "8px" },
  ".cm-lint-marker-error": { content: '""', backgroundColor: "var(--bad-mark)", borderRadius: "1px", marginTop: "2px" },
  ".cm-lintRange-error": { backgroundImage: "none", textDecoration: "underline wavy var(--bad-mark)", textUnderlineOffset: "3px" },
  ".cm-tooltip": { backgroundColor: "var(--surface)", color: "var(--ink)", border: "1px solid var(--border-strong)", borderRadius: "var(--r-2)", fontFamily: "var(--font-ui, inherit)", maxWidth: "min(560px, 90vw)" },
  ".cm-diagnostic-error": { borderLeftColor: "var(--bad-mark)" },
});

for (const area of document.querySelectorAll("textarea[data-code]")) edit(area);

function edit(area) {
  const hadFocus = document.activeElement === area;
  const host = document.createElement("div");
  host.className = "code-editor";
  // Other keys of the page look for this attribute and leave what is typed here alone.
  host.setAttribute("contenteditable", "false");
  area.after(host);
  area.hidden = true;
  // In a shadow root the styles are adopted sheets, which the policy of this server allows.
  const root = host.attachShadow({ mode: "open" });
  const language = new Compartment();
  const view = new EditorView({
    root,
    parent: root,
    state: EditorState.create({
      doc: area.value,
      extensions: [
        lineNumbers(),
        lintGutter(),
        history(),
        indentOnInput(),
        bracketMatching(),
        highlightActiveLine(),
        highlightActiveLineGutter(),
        EditorState.tabSize.of(4),
        EditorState.readOnly.of(area.readOnly),
        EditorView.editable.of(!area.readOnly),
        EditorView.lineWrapping,
        EditorView.contentAttributes.of({ "aria-label": area.labels[0]?.textContent.trim() || "Source", ...(area.readOnly ? { tabindex: "0" } : {}) }),
        keymap.of([...defaultKeymap, ...historyKeymap, indentWithTab]),
        language.of(LANGUAGES[area.dataset.code]()),
        syntaxHighlighting(colours),
        theme,
        EditorView.updateListener.of((update) => {
          if (!update.docChanged) return;
          area.value = update.state.doc.toString();
          area.dispatchEvent(new Event("input", { bubbles: true }));
        }),
      ],
    }),
  });
  if (hadFocus) view.focus();
  for (const label of area.labels) {
    label.addEventListener("click", (event) => {
      event.preventDefault();
      view.focus();
    });
  }
  const choice = area.dataset.codeChoice && document.getElementById(area.dataset.codeChoice);
  choice?.addEventListener("change", () => view.dispatch({ effects: language.reconfigure(LANGUAGES[choice.value]()) }));
  mark(view, area);
  document.addEventListener("htmx:afterSettle", () => mark(view, area));
}

function mark(view, area) {
  const told = document.getElementById(area.dataset.errors)?.querySelector("[data-error-line]");
  const number = Number(told?.dataset.errorLine ?? 0);
  if (!number || number > view.state.doc.lines) {
    view.dispatch(setDiagnostics(view.state, []));
    return;
  }
  const line = view.state.doc.line(number);
  const from = line.from + (line.text.length - line.text.trimStart().length);
  view.dispatch(setDiagnostics(view.state, [{ from: Math.min(from, line.to), to: line.to, severity: "error", message: told.dataset.error }]));
}
