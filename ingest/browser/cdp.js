/* cdp.js: sends what happens on a web page to a streamcdp collector.
 *
 *   <script async src="https://HOST/cdp.js" data-write-key="KEY"></script>
 *
 * Then: cdp.track(event, properties), cdp.identify(userId, traits), cdp.page(name, properties), cdp.group(groupId, traits),
 * cdp.alias(userId, previousId), cdp.reset(). Before it has loaded: (window.cdp = window.cdp || []).push(["track", event]).
 * The page's own view is sent by itself; data-auto-page="false" prevents it. data-host names another collector.
 */
(function (window, document) {
  "use strict";
  const script = document.currentScript;
  const writeKey = script && script.getAttribute("data-write-key");
  if (!writeKey || (window.cdp && window.cdp.track)) return;
  const host = (script.getAttribute("data-host") || new URL(script.src).origin).replace(/\/+$/, "");

  const MOST_WAITING = 1000; // events kept while the collector is away; the oldest go first
  const BATCH = 100;
  const BATCH_CHARS = 20000; // a character is up to 3 bytes, and browsers let 64 KB outlive the page
  const SOON = 100; // milliseconds in which calls gather into one request

  // Storage that also works where the browser forbids it, for as long as the page lives.
  const memory = {};
  function load(name) {
    try {
      const text = localStorage.getItem("cdp." + name);
      return text === null ? memory[name] : JSON.parse(text);
    } catch (_) {
      return memory[name];
    }
  }
  function save(name, value) {
    memory[name] = value;
    try {
      if (value === undefined) localStorage.removeItem("cdp." + name);
      else localStorage.setItem("cdp." + name, JSON.stringify(value));
    } catch (_) { /* kept in memory */ }
  }

  function uuid() {
    if (window.crypto && crypto.randomUUID) return crypto.randomUUID(); // only on https and localhost
    return "10000000-1000-4000-8000-100000000000".replace(/[018]/g, (c) =>
      (+c ^ (crypto.getRandomValues(new Uint8Array(1))[0] & (15 >> (+c / 4)))).toString(16));
  }
  function anonymousId() {
    let id = load("anonymousId");
    if (!id) save("anonymousId", (id = uuid()));
    return id;
  }

  function context() {
    const campaign = {};
    new URLSearchParams(location.search).forEach((value, name) => {
      if (name.slice(0, 4) === "utm_") campaign[name === "utm_campaign" ? "name" : name.slice(4)] = value;
    });
    const made = {
      page: pageProperties(),
      userAgent: navigator.userAgent,
      locale: navigator.language,
      timezone: Intl.DateTimeFormat().resolvedOptions().timeZone,
      screen: { width: screen.width, height: screen.height, density: window.devicePixelRatio },
      library: { name: "cdp.js", version: "0.1.0" },
    };
    if (Object.keys(campaign).length) made.campaign = campaign;
    return made;
  }
  function pageProperties() {
    const { href, pathname, search } = location;
    return { url: href, path: pathname, search, title: document.title, referrer: document.referrer };
  }

  // What waits to be sent. What an earlier page could not send comes first.
  const queue = load("queue") || [];
  save("queue", undefined);
  let sending = false, failures = 0, timer = 0;

  function add(type, fields) {
    queue.push(Object.assign({
      type,
      messageId: uuid(),
      timestamp: new Date().toISOString(),
      anonymousId: anonymousId(),
      userId: load("userId") || null,
      context: context(),
    }, fields));
    if (queue.length > MOST_WAITING) queue.shift();
    if (!sending) schedule(SOON);
  }
  function schedule(milliseconds) {
    clearTimeout(timer);
    timer = setTimeout(flush, milliseconds);
  }
  function next() {
    let count = 0, chars = 0;
    while (count < queue.length && count < BATCH) {
      chars += JSON.stringify(queue[count]).length;
      if (count && chars > BATCH_CHARS) break;
      count++;
    }
    const batch = queue.slice(0, count);
    return { batch, body: JSON.stringify({ writeKey, batch, sentAt: new Date().toISOString() }) };
  }
  function forget(batch) {
    batch.forEach((event) => {
      const place = queue.indexOf(event);
      if (place >= 0) queue.splice(place, 1);
    });
  }

  function flush() {
    if (sending || !queue.length) return;
    sending = true;
    const { batch, body } = next();
    // Plain text without further headers spares the browser's preflight; keepalive lets it outlive the page.
    fetch(host + "/v1/batch", {
      method: "POST", body, headers: { "Content-Type": "text/plain" }, keepalive: body.length <= BATCH_CHARS,
    }).then((answer) => {
      const status = answer.status;
      if (status >= 500 || status === 408 || status === 429) return again(+answer.headers.get("Retry-After") * 1000);
      if (status >= 400) console.warn("cdp: the collector refused " + batch.length + " events (" + status + ")");
      forget(batch);
      sending = false;
      failures = 0;
      if (queue.length) flush();
      else save("queue", undefined);
    }).catch(() => again(0));
  }
  function again(milliseconds) {
    sending = false;
    failures++;
    const backoff = Math.min(60000, 500 * 2 ** failures) * (0.5 + Math.random() / 2);
    schedule(Math.max(milliseconds || 0, backoff));
  }
  // The page may end here: hand over what waits. A beacon tells nobody what became of it, so while the collector is away,
  // and where the browser takes no more, the next page sends it.
  function leave() {
    while (queue.length && !failures && navigator.sendBeacon) {
      const { batch, body } = next();
      if (!navigator.sendBeacon(host + "/beacon/v1/batch?writeKey=" + encodeURIComponent(writeKey), body)) break;
      forget(batch);
    }
    save("queue", queue.length ? queue : undefined);
  }
  addEventListener("pagehide", leave);
  document.addEventListener("visibilitychange", () => { if (document.visibilityState === "hidden") leave(); });

  const cdp = {
    page(name, properties) {
      add("page", { name, properties: Object.assign(pageProperties(), name && { name }, properties) });
    },
    track(event, properties) {
      add("track", { event, properties: properties || {} });
    },
    identify(userId, traits) {
      if (userId && typeof userId === "object") [userId, traits] = [null, userId];
      const known = load("userId");
      if (userId && known && String(userId) !== known) cdp.reset(); // another person at the same device
      if (userId) save("userId", String(userId));
      save("traits", Object.assign({}, load("traits"), traits));
      add("identify", { traits: load("traits") });
    },
    group(groupId, traits) {
      add("group", { groupId, traits: traits || {} });
    },
    alias(userId, previousId) {
      add("alias", { userId, previousId: previousId || load("userId") || anonymousId() });
    },
    reset() {
      ["anonymousId", "userId", "traits"].forEach((name) => save(name, undefined));
    },
    anonymousId,
    flush,
    push(...calls) {
      calls.forEach(([name, ...values]) => cdp[name](...values));
    },
  };
  const early = Array.isArray(window.cdp) ? window.cdp : [];
  window.cdp = cdp;
  if (script.getAttribute("data-auto-page") !== "false") cdp.page();
  cdp.push(...early);
  if (queue.length) schedule(0);
})(window, document);
