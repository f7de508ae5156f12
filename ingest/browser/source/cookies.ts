// Cookies that all subdomains of a shop share. None is set unless the page allows cookies.

import { option } from "./options";

const LONGEST = 395 * 86400; // seconds; browsers keep none for longer than 400 days

let domain: string | undefined;

/** The value of a cookie, whoever set it; null where there is none, or none may be read. */
export function cookie(name: string): string | null {
  try {
    const found = document.cookie.split("; ").find((one) => one.startsWith(name + "="));
    return found ? decodeURIComponent(found.slice(name.length + 1)) : null;
  } catch {
    return null;
  }
}

/** Sets a cookie, or with null takes it away, and tells whether that took hold. */
export function setCookie(name: string, value: string | null): boolean {
  return set(name, value, (domain ??= option("cookieDomain") || widest()));
}

function set(name: string, value: string | null, on: string): boolean {
  try {
    document.cookie =
      `${name}=${encodeURIComponent(value || "")};path=/;samesite=lax;max-age=${value === null ? 0 : LONGEST}` +
      (on && ";domain=" + on) +
      (location.protocol === "https:" ? ";secure" : "");
    return cookie(name) === value;
  } catch {
    return false;
  }
}

/** The widest domain that may have cookies: browsers refuse `com.vn`, so `shop.com.vn` is found by trying. */
function widest(): string {
  const labels = location.hostname.split(".");
  for (let start = labels.length - 1; start--; ) {
    const wider = labels.slice(start).join(".");
    if (set("cdp.try", "1", wider)) {
      set("cdp.try", null, wider);
      return wider;
    }
  }
  return "";
}
