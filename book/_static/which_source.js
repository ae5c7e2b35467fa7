// "Which source at my number of images?": reads the table of the chapter, which stays below as the fallback.
document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll(".which-source").forEach((box) => {
    const rows = [...box.querySelectorAll("tbody tr")].map((row) => {
      const [study, target, source, n, auc, low, high] = [...row.cells].map((cell) => cell.textContent.trim());
      return { target: `${target} (${study})`, source, n: n === "all" ? Infinity : +n, auc: +auc, low: low ? +low : NaN, high: high ? +high : NaN };
    });
    if (!rows.length) return;
    const form = document.createElement("form");
    const add = (text, field) => {
      const label = document.createElement("label");
      label.append(`${text} `, field);
      form.append(label, " ");
      field.addEventListener("input", show);
      return field;
    };
    const out = document.createElement("div");
    out.setAttribute("role", "status");
    const chosen = document.createElement("select");
    [...new Set(rows.map((row) => row.target))].forEach((name) => chosen.add(new Option(name)));
    const count = Object.assign(document.createElement("input"), { type: "number", min: 1, value: 100 });
    add("Target", chosen);
    add("Training images", count);
    form.addEventListener("submit", (event) => event.preventDefault());
    box.querySelector("p").after(form, out);
    show();

    function show() {
      const n = +count.value;
      const here = rows.filter((row) => row.target === chosen.value);
      const sizes = [...new Set(here.map((row) => row.n))].sort((a, b) => a - b);
      if (!(n >= 1)) return out.replaceChildren("Enter a number of images from 1 on.");
      const known = sizes.filter(Number.isFinite);
      const apart = (size) => Math.abs(Math.log(size / n));
      let size = known.reduce((best, one) => (apart(one) < apart(best) ? one : best), known[0] ?? Infinity);
      if (n > 2 * known.at(-1) && sizes.at(-1) === Infinity) size = Infinity;
      const shown = size === Infinity ? "all images" : `${size.toLocaleString("en")} training images`;
      const outside = n < known[0] / 2 || (n > 2 * size && size !== Infinity);
      const found = here.filter((row) => row.n === size).sort((a, b) => b.auc - a.auc);
      const list = document.createElement("ol");
      found.forEach((row) => {
        const item = document.createElement("li");
        const interval = Number.isNaN(row.low) ? "" : ` (${row.low.toFixed(3)} to ${row.high.toFixed(3)})`;
        const open = row !== found[0] && row.high >= found[0].low ? " ≈" : "";
        item.append(`${row.source}: ${row.auc.toFixed(3)}${interval}${open}`);
        list.append(item);
      });
      const ties = list.textContent.includes("≈") ? "In brackets: 95 %. ≈: the interval overlaps that of the first, so these numbers do not rank the two. " : "";
      const note = document.createElement("p");
      note.append(`AUC with ${shown}, the nearest size tried. ${ties}${outside ? "Your number is far from it: this is no answer for it." : ""}`);
      out.replaceChildren(note, list);
    }
  });
});
