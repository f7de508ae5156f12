// What the page asks for: attributes `data-…` of the script's element, or, where only an address can be given, its query.

const running = document.currentScript as HTMLScriptElement | null;
// Where an optimiser moved the code, no script is running that says anything.
const script = running?.src ? running : document.querySelector<HTMLScriptElement>("script[data-write-key]");
const query = new URLSearchParams(script?.src.split("?")[1]);

/** An option by its name: `autoPage` is `data-auto-page`, or `autoPage=` in the script's address. Empty if not given. */
export function option(name: string): string {
  return script?.dataset[name] ?? query.get(name) ?? "";
}

export const writeKey = option("writeKey");
export const host = option("host") || (script?.src || "").replace(/\/cdp(\/\w+)?\.js(\?.*)?$/, "");
/** What in an address makes another page where no document is loaded: `path`, `query`, `hash`, `off`. */
export const spa = option("spa") || "path";
export const serverId = option("serverId") === "true";
