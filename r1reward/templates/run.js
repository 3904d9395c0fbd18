// Shows pairs that two validations of a run judge differently, before and after.
(() => {
  const { items, images, steps } = JSON.parse(document.getElementById("data").textContent);
  const names = { gained: ["right", "wrong to right"], lost: ["wrong", "right to wrong"] };

  const pictures = (item) => {
    const box = element("div", "media");
    item.images.forEach((name) => {
      const shown = images[name];
      if (!shown.src) return box.append(element("p", "wrong", shown.error));
      const image = element("img");
      image.src = shown.src;
      image.alt = `what ${item.where} is about`;
      box.append(image);
    });
    if (item.hidden) box.append(element("p", "faint", `and ${item.hidden} more`));
    return box;
  };

  const answer = (item, text, place) => {
    const better = item.label === place + 1;
    const box = element("div", better ? "answer better" : "answer");
    box.append(element("h4", "", `Response ${place + 1}${better ? " (the better one)" : ""}`), element("div", "text", text));
    return box;
  };

  const voteView = (vote, place) => {
    const result = vote.choice === null ? "unreadable" : vote.right ? "right" : "wrong";
    const box = element("div", `vote ${vote.right ? "right" : "wrong"}`);
    const said = vote.choice === null ? vote.reason : `chooses Response ${vote.choice}`;
    const head = element("h4", "", `step ${steps[place]}: ${said} `);
    head.append(element("span", `tag ${vote.right ? "right" : "wrong"}`, result));
    box.append(head, element("div", "text", vote.text));
    return box;
  };

  const card = (item) => {
    const box = element("article");
    const head = element("header");
    const [colour, name] = names[item.tags[0]];
    head.append(element("span", `tag ${colour}`, name), element("b", "", item.facets.source),
      element("span", "id", item.where), element("span", "id", item.uid));
    const content = element("div", item.images.length ? "content shown" : "content");
    if (item.images.length) content.append(pictures(item));
    const words = element("div");
    const answers = element("div", "answers");
    answers.append(...item.responses.map((text, place) => answer(item, text, place)));
    const votes = element("div", "votes");
    votes.append(...item.votes.map(voteView));
    words.append(element("div", "text", item.question), answers, votes);
    content.append(words);
    box.append(head, content);
    return box;
  };

  browse(items, card, (item) => [item.question, ...item.responses, item.where, item.uid,
    ...item.votes.map((vote) => vote.text)]);
})();
