(function () {
  "use strict";
  function reveal(target) {
    var found = /^#decision-\d+$/.test(target) && document.querySelector(target);
    if (!found) return;
    found.open = true;
    found.scrollIntoView({ block: "start" });
    found.querySelector("summary").focus({ preventScroll: true });
  }
  // A link to the decision that the address names already changes no hash.
  document.addEventListener("click", function (event) {
    var link = event.target.closest("a[href^='#decision-']");
    if (!link) return;
    event.preventDefault();
    history.replaceState(null, "", link.getAttribute("href"));
    reveal(link.getAttribute("href"));
  });
  window.addEventListener("hashchange", function () { reveal(location.hash); });
  reveal(location.hash);

  function all(open) {
    document.querySelectorAll("details.decision").forEach(function (card) { card.open = open; });
  }
  function offer() {
    var button = document.getElementById("open-all");
    if (button) button.hidden = false;
  }
  document.addEventListener("click", function (event) {
    var button = event.target.closest("#open-all");
    if (!button) return;
    var open = button.textContent === "Open all";
    all(open);
    button.textContent = open ? "Close all" : "Open all";
  });
  // Of a live page: what came may hold the button.
  document.addEventListener("dux-shown", offer);
  offer();
  window.addEventListener("beforeprint", function () { all(true); });
})();
