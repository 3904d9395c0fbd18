"use strict";
// Cards that a reader filters, searches and pages through. Texts are data: they enter the page as
// text nodes only, never as markup.
const element = (tag, className, text) => {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
};

// An item has `tags` (a list) and `facets` (name -> value); `card` makes its element, and `texts`
// lists what the search looks at.
const browse = (items, card, texts, size = 10) => {
  const root = document.getElementById("browser");
  const list = root.querySelector(".list");
  const search = root.querySelector("input");
  const buttons = [...root.querySelectorAll("[data-tag]")];
  const menus = [...root.querySelectorAll("[data-facet]")];
  const steps = [...root.querySelectorAll("[data-step]")];
  const haystacks = new Map(items.map((item) => [item, texts(item).join("\n").toLowerCase()]));
  let tag = "";
  let page = 0;

  const fits = (item) =>
    (!tag || item.tags.includes(tag)) &&
    menus.every((menu) => !menu.selectedIndex || item.facets[menu.dataset.facet] === menu.value) &&
    haystacks.get(item).includes(search.value.trim().toLowerCase());

  const draw = () => {
    const found = items.filter(fits);
    const pages = Math.max(1, Math.ceil(found.length / size));
    page = Math.min(Math.max(page, 0), pages - 1);
    list.replaceChildren(...found.slice(page * size, (page + 1) * size).map(card));
    if (!found.length) list.append(element("p", "faint", "None."));
    root.querySelector(".count").textContent = `${found.length} of ${items.length}`;
    root.querySelector(".pages span").textContent = `page ${page + 1} of ${pages}`;
    buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.tag === tag)));
    steps.forEach((button) => {
      const next = page + Number(button.dataset.step);
      button.disabled = next < 0 || next >= pages;
    });
  };
  const begin = () => { page = 0; draw(); };

  menus.forEach((menu) => {
    const values = new Set(items.map((item) => item.facets[menu.dataset.facet]));
    const order = new Intl.Collator("en", { numeric: true });
    [...values].sort(order.compare).forEach((value) => {
      const option = element("option", "", value);
      option.value = value;
      menu.append(option);
    });
    menu.addEventListener("change", begin);
  });
  buttons.forEach((button) => button.addEventListener("click", () => { tag = button.dataset.tag; begin(); }));
  search.addEventListener("input", begin);
  steps.forEach((button) => button.addEventListener("click", () => {
    page += Number(button.dataset.step);
    draw();
    root.scrollIntoView();
  }));
  draw();
};
