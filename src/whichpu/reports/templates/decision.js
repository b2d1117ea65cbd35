"use strict";
(() => {
  const root = document.documentElement;
  const views = [];

  // Theme: as the system has it, light, or dark; remembered where the browser allows.
  const themes = ["system", "light", "dark"];
  const button = document.getElementById("theme");
  const remembered = () => { try { return localStorage.getItem("whichpu-theme"); } catch { return null; } };
  const dress = (theme) => {
    if (theme === "system") delete root.dataset.theme; else root.dataset.theme = theme;
    button.textContent = button.dataset[theme];
    try { localStorage.setItem("whichpu-theme", theme); } catch { /* a page on its own may have no storage */ }
  };
  if (button) {
    let theme = themes.includes(remembered()) ? remembered() : "system";
    dress(theme);
    button.hidden = false;
    button.addEventListener("click", () => dress(theme = themes[(themes.indexOf(theme) + 1) % themes.length]));
  }

  // Tables: a head sorts its column; unknown values stay last.
  for (const head of document.querySelectorAll("button.sort")) {
    head.disabled = false;
    head.addEventListener("click", () => {
      const cell = head.closest("th"), row = cell.parentElement, body = row.closest("table").tBodies[0];
      const at = [...row.cells].indexOf(cell), up = cell.getAttribute("aria-sort") !== "ascending";
      for (const each of row.cells) each.removeAttribute("aria-sort");
      cell.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = (line) => line.cells[at].dataset.value ?? "";
      const words = cell.classList.contains("words");
      const known = (line) => words || key(line) !== "";
      const order = (a, b) => (words ? a.cells[at].textContent.localeCompare(b.cells[at].textContent) : key(a) - key(b));
      body.append(...[...body.rows].sort((a, b) => known(b) - known(a) || (up ? 1 : -1) * (known(a) ? order(a, b) : 0)));
    });
  }

  // Charts: drawn again so that they answer, once they come into sight.
  const narrow = matchMedia("(max-width: 52rem)");
  const chosenIn = (section) => section.querySelector('.chip[aria-pressed="true"]')?.dataset.name ?? "";
  const tell = ({ view, section }) => view.signal("chosen", chosenIn(section)).runAsync();
  const enliven = (figure) => {
    const side = narrow.matches ? 1 : 0, given = figure.querySelector('script[type="application/json"]');
    const host = figure.querySelector(side ? ".narrow" : ".wide");
    if (!given || !host || host.dataset.live) return;
    host.dataset.live = "1";
    const made = document.createElement("div"), { specs, datasets } = JSON.parse(given.textContent);
    vegaEmbed(made, { ...specs[side], datasets }, { renderer: "svg", actions: false }).then(({ view }) => {
      host.replaceChildren(made);
      const entry = { view, section: figure.closest("section") };
      views.push(entry);
      return tell(entry);
    }).catch(() => { /* the drawn chart stays */ });
  };
  if (window.vegaEmbed) {
    const figures = [...document.querySelectorAll("figure.live")];
    const seen = new IntersectionObserver((entries) => {
      for (const each of entries) if (each.isIntersecting) enliven(each.target);
    }, { rootMargin: "400px" });
    for (const figure of figures) seen.observe(figure);
    narrow.addEventListener("change", () => {
      for (const figure of figures) { seen.unobserve(figure); seen.observe(figure); }
    });
  }

  // Contenders: one can be shown before the others, in all charts and in the table of its model.
  for (const chip of document.querySelectorAll(".chip")) {
    chip.disabled = false;
    chip.addEventListener("click", () => {
      const section = chip.closest("section"), on = chip.getAttribute("aria-pressed") !== "true";
      for (const each of section.querySelectorAll(".chip")) each.setAttribute("aria-pressed", String(on && each === chip));
      for (const line of section.querySelectorAll("tr[data-name]")) {
        line.classList.toggle("chosen", on && line.dataset.name === chip.dataset.name);
      }
      for (const each of views) if (each.section === section) tell(each);
    });
  }
  for (const each of document.querySelectorAll(".chips")) each.hidden = !window.vegaEmbed;

  addEventListener("beforeprint", () => { for (const each of document.querySelectorAll("details")) each.open = true; });
  root.dataset.ready = "1";
})();
