(() => {
  const panel = document.getElementById("panel");
  const data = {};
  const of = name => data[name] ??= JSON.parse(document.getElementById("data-" + name).textContent);
  const make = (tag, text, parent) => { const one = document.createElement(tag); one.textContent = text; parent?.append(one); return one; };
  const piece = (d, id) => (d.p[id] ?? "") + "  #" + id;
  const side = (d, at, words, logits, name) => {
    const table = document.createElement("table");
    make("caption", name, table);
    for (let i = 0; i < d.n; i++) {
      const row = make("tr", "", table);
      make("td", piece(d, words[at * d.n + i]), row);
      const value = logits[at * d.n + i];
      make("td", typeof value === "number" ? value.toFixed(4) : value, row).className = "number";
    }
    return table;
  };
  const margin = (d, at, logits) => d.n > 1 ? (logits[at * d.n] - logits[at * d.n + 1]).toFixed(4) : "—";
  const show = token => {
    const d = of(token.closest("[data-variant]").dataset.variant), at = Number(token.dataset.i), words = panel.dataset;
    const said = { "=": words.same, "~": words.tied, "x": words.other }[d.m[at]];
    panel.replaceChildren();
    make("p", `${piece(d, d.t[at])} · ${said} · ${words.over} ${d.o[at]} · KL ${d.k[at]}`, panel);
    make("p", `${words.margin}: ${words.candidate} ${margin(d, at, d.cl)}, ${words.reference} ${margin(d, at, d.rl)}`, panel);
    const sides = make("div", "", panel);
    sides.className = "sides";
    sides.append(side(d, at, d.c, d.cl, words.candidate), side(d, at, d.r, d.rl, words.reference));
    panel.hidden = false;
  };
  const near = event => event.target.closest?.(".token");
  document.addEventListener("pointerover", event => { const token = near(event); if (token) show(token); });
  document.addEventListener("focusin", event => { const token = near(event); if (token) show(token); });
  document.addEventListener("keydown", event => {
    if (event.key === "Escape") { panel.hidden = true; return; }
    const token = near(event), step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!token || !step) return;
    const all = [...token.parentElement.querySelectorAll(".token")], next = all[all.indexOf(token) + step];
    if (next) { event.preventDefault(); token.tabIndex = -1; next.tabIndex = 0; next.focus(); }
  });
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach(one => { one.open = true; }));
})();
