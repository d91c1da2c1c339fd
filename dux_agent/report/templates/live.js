(function () {
  "use strict";
  var link = document.getElementById("link");
  var address = location.href.split("#")[0];
  var tag = "", timer = 0, pause = 1000, busy = false, asked = {}, wrong = "", over = false;

  function tell(text) {
    link.textContent = text;
    link.hidden = !text;
  }

  // Bring what is shown to what came, and leave alone what the reader has done: what is
  // open, typed, marked or scrolled to. Elements with data-own belong to the scripts.
  function morph(old, now) {
    if (old.nodeType !== now.nodeType || old.nodeName !== now.nodeName || old.id !== now.id) {
      old.parentNode.replaceChild(document.importNode(now, true), old);
      return;
    }
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.data !== now.data) old.data = now.data;
      return;
    }
    if (old.hasAttribute("data-own")) return;
    var i, name;
    for (i = old.attributes.length - 1; i >= 0; i--) {
      name = old.attributes[i].name;
      if (name !== "open" && name !== "hidden" && !now.hasAttribute(name)) old.removeAttribute(name);
    }
    for (i = 0; i < now.attributes.length; i++) {
      name = now.attributes[i].name;
      if (old.getAttribute(name) !== now.attributes[i].value) old.setAttribute(name, now.attributes[i].value);
    }
    var olds = Array.from(old.childNodes), news = Array.from(now.childNodes);
    news.forEach(function (each, at) {
      if (at < olds.length) morph(olds[at], each);
      else old.appendChild(document.importNode(each, true));
    });
    olds.slice(news.length).forEach(function (each) { each.remove(); });
  }

  function show(text) {
    var page = new DOMParser().parseFromString(text, "text/html");
    document.title = page.title;
    morph(document.body, page.body);
    document.dispatchEvent(new Event("dux-shown"));
    document.querySelectorAll("[data-asked]").forEach(function (each) {
      var card = document.getElementById(each.getAttribute("data-asked"));
      if (!card || asked[each.id]) return;
      asked[each.id] = true;
      card.open = true;
    });
  }

  function look() {
    clearTimeout(timer);
    if (busy || over) return;
    busy = true;
    var soon = false;
    fetch(address, { cache: "no-store", headers: tag ? { "If-None-Match": tag } : {} }).then(function (answer) {
      if (answer.status === 403) {
        over = true;
        throw new Error("This address is no longer good: dux watch was started again. Open the one that it printed.");
      }
      if (answer.status !== 304 && !answer.ok) throw new Error("dux watch ended with an error: " + answer.status);
      soon = answer.headers.get("X-Dux-Behind") === "1";
      if (answer.status === 304) return null;
      tag = answer.headers.get("ETag");
      return answer.text().then(show);
    }).then(function () {
      pause = 1000;
      tell(wrong);
    }, function (error) {
      pause = Math.min(2 * pause, 15000);
      tell(error instanceof TypeError ? "dux watch does not answer: it was ended. What is shown is the last that it told." : error.message);
    }).then(function () {
      busy = false;
      timer = setTimeout(look, soon ? 50 : document.hidden ? 10000 : pause);
    });
  }

  function say(button, said) {
    button.disabled = true;
    wrong = "";
    fetch(address, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(said) }).then(function (answer) {
      return answer.text().then(function (text) { wrong = answer.ok ? "" : text; });
    }, function () {
      wrong = "dux watch does not answer: it was ended.";
    }).then(function () {
      button.disabled = false;
      tell(wrong);
      look();
    });
  }

  document.addEventListener("click", function (event) {
    var button = event.target.closest("button[data-action], button[data-answer]");
    if (!button) return;
    var key = button.getAttribute("data-key"), answer = button.getAttribute("data-answer");
    if (!key) return say(button, { action: button.getAttribute("data-action") });
    var word = document.getElementById("word-" + key);
    if (answer === "word" && !word.value.trim()) return word.focus();
    say(button, { action: "answer", key: key, answer: answer === "word" ? word.value : answer === "yes" });
  });
  document.addEventListener("visibilitychange", function () {
    if (!document.hidden) look();
  });
  look();
})();
