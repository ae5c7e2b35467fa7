// Draws the interactive figures, connects their selectors, and adapts their colours to a light or dark page.
const PLOTLY = new URL("../scripts/plotly.min.js", document.currentScript.src);

document.addEventListener("DOMContentLoaded", () => {
  const figures = [...document.querySelectorAll(".interactive-figure")];
  const drawn = () => figures.filter((figure) => figure.data);
  const selectors = (figure) => [...document.querySelectorAll(`select[data-figure="${figure.id}"]`)];

  // Plotly is 5 MB, so it is loaded once, when the first figure comes near; the page shows its text first.
  let reading;
  const plotly = () =>
    (reading ??= new Promise((done, failed) => {
      document.head.append(Object.assign(document.createElement("script"), { src: PLOTLY, onload: done, onerror: failed }));
    }));

  async function draw(figure) {
    const { data, layout, config } = JSON.parse(document.querySelector(`script[data-figure="${figure.id}"]`).textContent);
    await plotly();
    const { visible, look } = chosen(figure, data);
    data.forEach((trace, number) => (trace.visible = visible[number]));
    put(layout, { ...look, ...colours() });
    await Plotly.newPlot(figure, data, layout, config);
    selectors(figure).forEach((one) => one.addEventListener("change", () => show(figure)));
  }

  // Returns the traces that match the selectors, and the title of the x-axis for them.
  function chosen(figure, data) {
    const wanted = selectors(figure);
    const visible = data.map((trace) => wanted.every((one) => one.value === "" || trace.meta[one.name] === one.value));
    const title = data[visible.indexOf(true)]?.meta.x;
    return { visible, look: title ? { "xaxis.title.text": title } : {} };
  }

  function show(figure) {
    const { visible, look } = chosen(figure, figure.data);
    Plotly.update(figure, { visible }, look);
  }

  function colours() {
    const text = getComputedStyle(document.body).color;
    const look = { "font.color": text, "xaxis.color": text, "yaxis.color": text };
    for (const line of ["xaxis.gridcolor", "yaxis.gridcolor"]) look[line] = "rgba(128,128,128,0.25)";
    return look;
  }

  // Does what Plotly.relayout does to a drawn figure: { "xaxis.color": c } becomes { xaxis: { color: c } }.
  function put(layout, look) {
    for (const [place, value] of Object.entries(look)) {
      const keys = place.split("."), last = keys.pop();
      keys.reduce((part, key) => (part[key] ??= {}), layout)[last] = value;
    }
  }

  function colour() {
    drawn().forEach((figure) => Plotly.relayout(figure, colours()));
  }

  const near = new IntersectionObserver(
    (seen) => {
      for (const { target } of seen.filter((one) => one.isIntersecting)) {
        near.unobserve(target);
        draw(target);
      }
    },
    { rootMargin: "100%" }, // one window height before it is visible
  );
  figures.forEach((figure) => near.observe(figure));
  new MutationObserver(colour).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  colour();

  // The theme's arrows in the side bar have no accessible names.
  document.querySelectorAll(".bd-sidenav summary").forEach((arrow) => {
    const name = arrow.closest("li")?.querySelector("a")?.textContent.trim();
    arrow.setAttribute("aria-label", `Pages of ${name}`);
  });
});
