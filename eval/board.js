"use strict";

// Sorting: a header's button sorts the models by its column, best first; again turns the order round. Rows without a
// value come last either way, and reference rows stay where they are.
for (const table of document.querySelectorAll("table.board")) {
  const heads = [...table.tHead.rows[0].cells];
  const models = table.querySelector("tbody.models");
  heads.forEach((head, place) => {
    head.querySelector("button").addEventListener("click", () => {
      const turned = head.getAttribute("aria-sort") === head.dataset.first;
      const order = turned ? (head.dataset.first === "ascending" ? "descending" : "ascending") : head.dataset.first;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", order);
      if (models) sort(models, place, order === "ascending" ? 1 : -1, head.classList.contains("text"));
    });
  });
}

function sort(body, place, sign, asText) {
  const value = (row) => row.cells[place].dataset.value;
  const rows = [...body.rows].sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
    return sign * (asText ? x.localeCompare(y) : Number(x) - Number(y));
  });
  body.append(...rows);
}

// Filters: rows by a part of their name, references, and columns. They hide and never change a table.
for (const form of document.querySelectorAll(".controls")) {
  const table = form.parentElement.querySelector("table.board");
  const find = form.querySelector("input[type=search]");
  const references = form.querySelector(".show-references");
  const columns = [...form.querySelectorAll("[data-column]")];
  const none = document.createElement("p");
  none.className = "none";
  none.textContent = "No row has that in its name.";
  none.hidden = true;
  table.parentElement.after(none);
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => {
    const wanted = find.value.trim().toLowerCase();
    let shown = 0;
    for (const body of table.tBodies) {
      for (const row of body.rows) {
        const isReference = body.classList.contains("references");
        const off = isReference ? !references.checked : !row.cells[0].dataset.value.toLowerCase().includes(wanted);
        row.toggleAttribute("data-off", off);
        shown += !off;
      }
    }
    none.hidden = shown > 0;
    for (const box of columns) {
      for (const row of table.rows) row.cells[box.dataset.column].toggleAttribute("data-off", !box.checked);
    }
  });
}

// One tooltip for the page, placed so that scrolling boxes do not cut it off.
const tip = document.createElement("div");
tip.id = "tip";
tip.role = "tooltip";
tip.hidden = true;
document.body.append(tip);

function show(event) {
  const owner = event.target.closest?.("[data-tip]");
  if (!owner) return hide();
  tip.textContent = owner.dataset.tip;
  tip.hidden = false;
  owner.setAttribute("aria-describedby", "tip");
  const box = owner.getBoundingClientRect();
  const left = Math.min(box.left, innerWidth - tip.offsetWidth - 8);
  const above = box.top - tip.offsetHeight - 6;
  tip.style.left = `${Math.max(8, left)}px`;
  tip.style.top = `${above >= 8 ? above : box.bottom + 6}px`;
}

function hide() {
  tip.hidden = true;
  document.querySelectorAll("[aria-describedby=tip]").forEach((owner) => owner.removeAttribute("aria-describedby"));
}

document.addEventListener("mouseover", show);
document.addEventListener("click", show);
document.addEventListener("focusin", show);
document.addEventListener("focusout", hide);
document.addEventListener("scroll", hide, true);
document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
