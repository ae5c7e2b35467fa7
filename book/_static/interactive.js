// What the selectors above a figure do, and its colours in a light and a dark page.
document.addEventListener("DOMContentLoaded", () => {
  const figures = () => [...document.querySelectorAll(".js-plotly-plot")];
  const selectors = (figure) => [...document.querySelectorAll(`select[data-figure="${figure.id}"]`)];

  function show(figure) {
    const chosen = selectors(figure);
    const isShown = (trace) => chosen.every((one) => one.value === "" || trace.meta[one.name] === one.value);
    const visible = figure.data.map(isShown);
    const title = (figure.data[visible.indexOf(true)] || {}).meta?.x;
    Plotly.update(figure, { visible }, title ? { "xaxis.title.text": title } : {});
  }

  function colour() {
    const root = document.documentElement;
    const text = getComputedStyle(document.body).color;
    root.classList.toggle("dark", root.dataset.theme === "dark"); // DataTables' own sign
    for (const figure of figures()) {
      const look = { "font.color": text, "xaxis.color": text, "yaxis.color": text };
      for (const line of ["xaxis.gridcolor", "yaxis.gridcolor"]) look[line] = "rgba(128,128,128,0.25)";
      Plotly.relayout(figure, look);
    }
  }

  figures().forEach((figure) => {
    selectors(figure).forEach((one) => one.addEventListener("change", () => show(figure)));
    show(figure);
  });
  new MutationObserver(colour).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  colour();

  // The theme's arrows in the side bar have no words for those who cannot see them.
  document.querySelectorAll(".bd-sidenav summary").forEach((arrow) => {
    const name = arrow.closest("li")?.querySelector("a")?.textContent.trim();
    arrow.setAttribute("aria-label", `Pages of ${name}`);
  });
});
