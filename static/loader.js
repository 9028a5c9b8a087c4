// Load htmx: from the CDN with its integrity hash, and from this server if the CDN does not answer in time.
// A preload only fetches. Were a script element itself timed out, the late script would still run, and
// there would be two htmx on one page.
(() => {
  const OUT_KEY = "cdn-out-since";
  const DAY_MS = 24 * 3600 * 1000;
  const { scripts, source, timeoutSeconds } = document.currentScript.dataset;
  const list = JSON.parse(scripts);

  // htmx begins as soon as it runs, and its extension would miss what it saw before: hold it until both are there.
  let isReady = false;
  let wasHeld = false;
  document.addEventListener("htmx:before:process", (event) => {
    if (isReady) return;
    wasHeld = true;
    event.preventDefault();
  });

  function isKnownOut() {
    try { return Date.now() - Number(localStorage.getItem(OUT_KEY) ?? -Infinity) < DAY_MS; } catch { return false; }
  }

  function rememberOut() {
    try { localStorage.setItem(OUT_KEY, String(Date.now())); } catch { /* the next page asks again */ }
  }

  function preload({ cdn, integrity }) {
    return new Promise((resolve, reject) => {
      const link = document.createElement("link");
      Object.assign(link, { rel: "preload", as: "script", href: cdn, integrity, crossOrigin: "anonymous" });
      link.onload = resolve;
      link.onerror = reject;
      document.head.append(link);
    });
  }

  function run(src, integrity) {
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      if (integrity) Object.assign(script, { integrity, crossOrigin: "anonymous" });
      script.onload = resolve;
      script.onerror = reject;
      script.src = src;
      document.head.append(script);
    });
  }

  async function fromCdn() {
    const late = new Promise((_, reject) => { setTimeout(reject, Number(timeoutSeconds) * 1000); });
    await Promise.race([Promise.all(list.map(preload)), late]);
    for (const { cdn, integrity } of list) await run(cdn, integrity);
    return "cdn";
  }

  async function fromHere() {
    for (const { local } of list) await run(local);
    return "local";
  }

  async function load() {
    if (source === "local" || isKnownOut()) return fromHere();
    try {
      return await fromCdn();
    } catch {
      rememberOut();
      return fromHere();
    }
  }

  load().then((from) => {
    document.documentElement.dataset.assets = from;
    isReady = true;
    if (wasHeld) window.htmx.process(document.body);
  });
})();
