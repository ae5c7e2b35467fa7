// Search: chapters come before pages of runs and datasets; excerpts also where the book is opened from the disk.
if (document.getElementById("search-results") || /\/search\.html$/.test(location.pathname)) {
  const BELOW = /^(runs|datasets)\//; // pages that a reader of the text rarely wants first
  const order = () => {
    if (typeof Scorer !== "undefined") Scorer.score = ([name, , , , score]) => (BELOW.test(name) ? score - 1000 : score);
  };
  order();
  document.addEventListener("DOMContentLoaded", order);
  if (location.protocol === "file:") {
    const script = document.createElement("script");
    const loaded = new Promise((resolve) => { script.onload = script.onerror = resolve; });
    script.src = "scripts/texts.js";
    document.head.appendChild(script);
    // Sphinx fetches each page it found, which browsers refuse for files; the texts of the chapters are in one script.
    window.fetch = async (url) => {
      await loaded;
      const name = decodeURIComponent(url).replace(/^\.\//, "").replace(/\.html$/, "");
      const page = document.createElement("div");
      page.setAttribute("role", "main");
      page.textContent = (window.TEXTS || {})[name] || "";
      return new Response(page.textContent && page.outerHTML);
    };
  }
}
