// Shows what a judge said about each item.
(() => {
  const { items, images } = JSON.parse(document.getElementById("data").textContent);

  const voteView = (vote, better) => {
    const box = element("div", "vote");
    const head = element("h4");
    if (vote.choice === null) {
      head.append("unreadable: ", element("span", "tag unparsed", vote.reason));
    } else {
      const right = vote.choice === better;
      head.append(`chooses Response ${vote.choice} `, element("span", `tag ${right ? "right" : "wrong"}`, right ? "right" : "wrong"));
    }
    box.append(head, element("div", "text", vote.text));
    return box;
  };

  const promptView = (item, prompt) => {
    const view = element("div");
    const answers = element("div", "answers");
    const shown = prompt.better === 1 ? item.responses : [...item.responses].reverse();
    shown.forEach((text, place) => {
      const better = place + 1 === prompt.better;
      const box = element("div", better ? "answer better" : "answer");
      box.append(element("h4", "", `Response ${place + 1}${better ? " (the better one)" : ""}`), element("div", "text", text));
      answers.append(box);
    });
    view.append(answers, ...prompt.votes.map((vote) => voteView(vote, prompt.better)));
    if (!prompt.votes.length) view.append(element("div", "vote unparsed", "no answer: the call failed"));
    return view;
  };

  const card = (item) => {
    const box = element("article");
    const head = element("header");
    head.append(element("b", "", `#${item.index + 1}`), element("span", "id", item.id),
      ...item.tags.map((tag) => element("span", `tag ${tag}`, tag)), element("span", "id", item.facets.group));
    const content = element("div", item.images.length ? "content shown" : "content");
    if (item.images.length) {
      const media = element("div", "media");
      item.images.forEach((name) => {
        const shown = images[name];
        if (!shown.src) return media.append(element("p", "wrong", shown.error));
        const image = element("img");
        image.src = shown.src;
        image.alt = `what row ${item.index + 1} is about`;
        media.append(image);
      });
      content.append(media);
    }
    const words = element("div");
    words.append(element("div", "text", item.question));
    const views = item.prompts.map((prompt) => promptView(item, prompt));
    if (views.length > 1) {
      const tabs = element("div", "pages");
      views.forEach((view, place) => {
        const tab = element("button", "", `better answer shown ${item.prompts[place].better === 1 ? "first" : "second"}`);
        tab.type = "button";
        tab.setAttribute("aria-pressed", String(place === 0));
        view.hidden = place > 0;
        tab.addEventListener("click", () => {
          views.forEach((other, at) => { other.hidden = at !== place; });
          [...tabs.children].forEach((other, at) => other.setAttribute("aria-pressed", String(at === place)));
        });
        tabs.append(tab);
      });
      words.append(tabs);
    }
    words.append(...views);
    content.append(words);
    box.append(head, content);
    return box;
  };

  browse(items, card, (item) => [item.id, item.question, ...item.responses,
    ...item.prompts.flatMap((prompt) => prompt.votes.map((vote) => vote.text))]);
})();
