// Values → text, and names.

export type Fields = Record<string, any>;

export const DAY = 86400000;

/** A name that nobody else makes: 128 random bits. (`crypto.randomUUID` is only there on https.) */
export function unique(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => (byte + 256).toString(16).slice(1)).join("");
}

/** JSON. What has none (circles, elements of the page) is left out; big integers become text. */
export function json(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch {
    const seen: unknown[] = [];
    return JSON.stringify(value, (_, part) => {
      if (typeof part === "bigint") return String(part);
      if (part && typeof part === "object" && (part.nodeType || seen.includes(part) || !seen.push(part))) return undefined;
      return part;
    });
  }
}

/** The time, as messages say it. */
export function moment(): string {
  return new Date().toISOString();
}

/** The fields, if there are any. */
export function filled(fields: Fields): Fields | undefined {
  return Object.keys(fields)[0] ? fields : undefined;
}
