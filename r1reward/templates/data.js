// Shows the records of a data set, one card each.
(() => {
  const { items, images } = JSON.parse(document.getElementById("data").textContent);

  const pictures = (item) => {
    const box = element("div", "media");
    item.images.forEach((name) => {
      const shown = images[name];
      if (!shown.src) return box.append(element("p", "fault", shown.error));
      const image = element("img");
      image.src = shown.src;
      image.alt = `what ${item.where} is about`;
      box.append(image);
    });
    return box;
  };

  const answer = (item, text, place) => {
    const better = item.label === place + 1;
    const box = element("div", better ? "answer better" : "answer");
    const length = `${[...text].length.toLocaleString("en")} characters`;
    box.append(element("h4", "", `Answer ${place + 1}${better ? ", the better one" : ""} · ${length}`),
      element("div", "text", text));
    return box;
  };

  const card = (item) => {
    const box = element("article");
    const head = element("header");
    head.append(element("b", "", item.facets.source), element("span", "id", item.where));
    if (item.facets.difficulty !== "unknown") {
      const solved = item.facets.difficulty !== "unsolved";
      head.append(element("span", solved ? "tag" : "tag odd", solved ? `attempt ${item.facets.difficulty}` : "unsolved"));
    }
    head.append(element("span", "id", [item.origin, item.uid].filter(Boolean).join(" · ")));
    const content = element("div", item.images.length ? "content shown" : "content");
    if (item.images.length) content.append(pictures(item));
    const words = element("div");
    const answers = element("div", "answers");
    answers.append(...item.responses.map((text, place) => answer(item, text, place)));
    words.append(element("div", "text", item.question), answers);
    if (item.reasoning) {
      const more = element("details");
      more.append(element("summary", "", "reasoning"), element("div", "text", item.reasoning));
      words.append(more);
    }
    content.append(words);
    box.append(head, content);
    return box;
  };

  browse(items, card, (item) => [item.question, ...item.responses, item.reasoning, item.origin, item.uid]);
})();
