
"use strict";
(() => {
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  document.body.append(tip);

  const show = (text, event) => {
    tip.textContent = text;
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = Math.max(4, Math.min(event.clientX + 14, innerWidth - box.width - 6)) + "px";
    const above = event.clientY - box.height - 12;
    tip.style.top = (above > 4 ? above : event.clientY + 18) + "px";
  };
  const hide = () => { tip.hidden = true; };

  // The browser's own tooltips come late; ours take their texts over.
  for (const title of document.querySelectorAll("svg title")) {
    const owner = title.parentElement;
    owner.dataset.tip = title.textContent;
    owner.setAttribute("aria-label", title.textContent);
    title.remove();
    owner.addEventListener("pointermove", (event) => show(owner.dataset.tip, event));
    owner.addEventListener("pointerleave", hide);
  }

  for (const svg of document.querySelectorAll("svg[data-plot]")) {
    const plot = JSON.parse(svg.dataset.plot);
    const cursor = svg.querySelector(".cursor");
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const pixel = (event.clientX - box.left) / box.width * plot.width;
      const step = plot.from + (pixel - plot.left) / (plot.right - plot.left) * (plot.to - plot.from);
      const texts = [];
      let nearest = step;
      for (const line of plot.lines) {
        let at = 0;
        for (let i = 1; i < line.x.length; i++) {
          if (Math.abs(line.x[i] - step) < Math.abs(line.x[at] - step)) { at = i; }
        }
        if (texts.length === 0) { nearest = line.x[at]; }
        texts.push(line.name + ", " + plot.x + " " + line.x[at] + ": " + line.y[at] + (plot.unit ? " " + plot.unit : ""));
      }
      const x = plot.left + (nearest - plot.from) / (plot.to - plot.from) * (plot.right - plot.left);
      cursor.setAttribute("x1", x);
      cursor.setAttribute("x2", x);
      show(texts.join("\n"), event);
    });
    svg.addEventListener("pointerleave", () => {
      cursor.setAttribute("x1", -9);
      cursor.setAttribute("x2", -9);
      hide();
    });
  }

  const map = document.querySelector("svg[data-theta]");
  const slider = document.getElementById("slider");
  if (map && slider) {
    const theta = JSON.parse(map.dataset.theta);
    const cells = [...map.querySelectorAll("[data-cell]")].map((cell) => {
      const [layer, block] = cell.dataset.cell.split(",").map(Number);
      return { cell, layer, block, text: cell.querySelector("text"), rect: cell.querySelector("rect") };
    });
    slider.hidden = false;
    slider.addEventListener("input", () => {
      const table = theta.percent[slider.value];
      document.getElementById("epoch").textContent = theta.epochs[slider.value];
      for (const { cell, layer, block, text, rect } of cells) {
        const percent = table[layer][block];
        cell.setAttribute("class", "cell q" + Math.round(percent / 5));
        if (text) { text.textContent = Math.round(percent) || ""; }
        rect.dataset.tip = "L" + (layer + 1) + " " + theta.blocks[block] + ": " + percent.toFixed(1) + "%";
      }
    });
  }

  // A printed page shows everything.
  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details")) { details.open = true; }
  });
})();
