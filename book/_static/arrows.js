// Names the theme's arrows in the side bar, for readers who cannot see them.
document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll(".bd-sidenav summary").forEach((arrow) => {
    const name = arrow.closest("li")?.querySelector("a")?.textContent.trim();
    arrow.setAttribute("aria-label", `Pages of ${name}`);
  });
});
