// What pages need beside htmx: the key to the search, and a word when nothing new comes any more.
(() => {
  "use strict";

  const AWAY_MS = 6000;
  let heard = Date.now();

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.closest("input, select, textarea");
    if (event.key === "/" && !typing) {
      const search = document.getElementById("find");
      if (search) {
        event.preventDefault();
        search.focus();
        search.select();
      }
    } else if (event.key === "Escape" && typing) {
      typing.blur();
    }
  });

  // On a phone the navigation is wider than the screen: show where one is.
  document.querySelector(".top nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

  document.addEventListener("htmx:sseMessage", () => {
    heard = Date.now();
  });

  setInterval(() => {
    const sign = document.getElementById("live");
    if (!sign) return;
    const away = Date.now() - heard > AWAY_MS;
    sign.classList.toggle("away", away);
    sign.textContent = away ? `no news for ${Math.round((Date.now() - heard) / 1000)} s` : "live";
  }, 1000);

  document.addEventListener("submit", (event) => {
    const question = event.target.dataset.question;
    if (question && !window.confirm(question)) event.preventDefault();
  });
})();
