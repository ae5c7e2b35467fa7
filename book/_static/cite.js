// The button "Cite" on top of every page, and one under each figure: BibTeX, RIS and plain text with commit and run.
// CITED is written by the book's assembly (cite-data.js).
const WEB = location.protocol.startsWith("http");

function entries(part, run) {
  const title = part ? `${part}. In: ${CITED.title}` : CITED.title;
  const place = CITED.doi ? `https://doi.org/${CITED.doi}` : CITED.address || (WEB ? location.href.split("#")[0] : "");
  const note = [CITED.version && `version ${CITED.version}`, CITED.commit && `commit ${CITED.commit}`, run && `run ${run}`]
    .filter(Boolean).join(", ");
  const key = `catscans${CITED.year}` + (part ? part.toLowerCase().replace(/[^a-z0-9]+/g, "").slice(0, 24) : "");
  const fields = { author: `{${CITED.authors}}`, title: `{${title}}`, year: CITED.year, version: CITED.version, doi: CITED.doi,
    url: place, note };
  const bibtex = `@misc{${key},\n` + Object.entries(fields).filter(([, value]) => value)
    .map(([name, value]) => `  ${name} = {${value}}`).join(",\n") + "\n}";
  const ris = ["TY  - " + (part ? "CHAP" : "BOOK"), ...CITED.authors.split(" and ").map((one) => `AU  - ${one}`),
    `TI  - ${part || CITED.title}`, part && `BT  - ${CITED.title}`, `PY  - ${CITED.year}`, CITED.doi && `DO  - ${CITED.doi}`,
    place && `UR  - ${place}`, note && `N1  - ${note}`, "ER  - "].filter(Boolean).join("\n");
  const text = `${CITED.authors} (${CITED.year}). ${title}${note ? ` (${note})` : ""}.${place ? ` ${place}` : ""}`;
  return { BibTeX: bibtex, RIS: ris, Text: text };
}

function show(part, run) {
  const dialog = document.createElement("dialog");
  dialog.className = "cite";
  dialog.setAttribute("aria-label", "How to cite");
  const close = document.createElement("button");
  close.textContent = "Close";
  close.addEventListener("click", () => dialog.close());
  for (const [name, content] of Object.entries(entries(part, run))) {
    const head = document.createElement("h2"), code = document.createElement("pre"), copy = document.createElement("button");
    head.textContent = name;
    code.textContent = content;
    code.tabIndex = 0;
    copy.textContent = `Copy ${name}`;
    copy.addEventListener("click", () => navigator.clipboard.writeText(content).then(() => { copy.textContent = "Copied"; }));
    dialog.append(head, code, copy);
  }
  if (CITED.gaps.length) {
    const missing = document.createElement("p");
    missing.textContent = `Not stated by this copy: ${CITED.gaps.join("; ").replaceAll("`", "")}.`;
    dialog.append(missing);
  }
  dialog.append(close);
  dialog.addEventListener("keydown", (event) => { if (event.key === "Escape") dialog.close(); }); // the theme keeps it otherwise
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

function button(words, part, run) {
  const made = document.createElement("button");
  made.className = "btn btn-sm cite";
  made.textContent = words;
  made.addEventListener("click", () => show(part, run));
  return made;
}

document.addEventListener("DOMContentLoaded", () => {
  const heading = document.querySelector(".bd-article h1");
  const isFront = /(^|\/)(index\.html)?$/.test(location.pathname);
  const chapter = isFront ? "" : heading?.firstChild?.textContent.trim();
  document.querySelector(".article-header-buttons")?.prepend(button("Cite", chapter));
  document.querySelectorAll(".bd-article figure[id]").forEach((figure) => {
    const caption = figure.querySelector(".caption-text")?.textContent.trim();
    const run = figure.querySelector(".legend a[href*='runs/']")?.getAttribute("href").replace(/^.*runs\//, "").replace(/\.html$/, "");
    const origin = figure.querySelector(".legend p");
    if (caption && origin) {
      const title = `${figure.querySelector(".caption-number")?.textContent.trim()}: ${caption.split(/[.;:](?:\s|$)/)[0]}`;
      origin.append(" ", button("Cite figure", title, run));
    }
  });
});
