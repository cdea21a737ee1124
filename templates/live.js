// What runs is looked at again every two seconds, until it has ended. Without this the page works the same, by hand.
"use strict";
(() => {
  const look = async () => {
    const story = document.getElementById("story");
    const address = story && story.dataset.live;
    if (!address) return;
    try {
      const answer = await fetch(address, { credentials: "same-origin", cache: "no-store" });
      // The session ended, or this may not be read any more: the page says which when it is opened again.
      if (answer.status >= 400 && answer.status < 500) return location.reload();
      if (answer.ok) {
        const text = await answer.text();
        const next = new DOMParser().parseFromString(text, "text/html").getElementById("story");
        if (next && next.outerHTML !== story.outerHTML) story.replaceWith(document.adoptNode(next));
      }
    } catch {
      // Away for a moment.
    }
    setTimeout(look, 2000);
  };
  setTimeout(look, 1000);
})();
