"use strict";
(() => {
  const themes = JSON.parse(document.getElementById("themes").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const config = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"] };
  const draw = (data) => {
    const place = document.getElementById(data.dataset.plot);
    const figure = JSON.parse(data.textContent);
    figure.layout.template = themes[dark.matches ? "dark" : "light"];
    return Plotly.react(place, figure.data, figure.layout, config);
  };
  const all = [...document.querySelectorAll("script[data-plot]")];
  const seen = new Set();
  // What is far below is drawn when it comes near: a page of several runs is there at once.
  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((each) => each.isIntersecting)) {
      const data = all.find((each) => each.dataset.plot === entry.target.id);
      watch.unobserve(entry.target);
      seen.add(data);
      draw(data);
    }
  }, { rootMargin: "1500px" });
  all.forEach((data) => watch.observe(document.getElementById(data.dataset.plot)));
  dark.addEventListener("change", () => seen.forEach(draw));
  window.addEventListener("beforeprint", () => all.forEach((data) => { seen.add(data); draw(data); }));
})();
