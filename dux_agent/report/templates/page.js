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

  var cards = document.querySelectorAll("details.decision");
  var button = document.getElementById("open-all");
  function all(open) {
    cards.forEach(function (card) { card.open = open; });
  }
  if (button) {
    button.hidden = false;
    button.addEventListener("click", function () {
      var open = button.textContent === "Open all";
      all(open);
      button.textContent = open ? "Close all" : "Open all";
    });
  }
  window.addEventListener("beforeprint", function () { all(true); });
})();
